// Uploading on a folder's page: wires the buttons, the drop, the queue and the panel together.

import { ask } from "./confirm.js";
import { copyText } from "./copy.js";
import { reveal } from "./page.js";
import { updateAll } from "./selection.js";
import { Session } from "./session.js";
import { UploadPanel } from "./upload-panel.js";
import { UploadQueue } from "./upload-queue.js";
import { send } from "./upload-send.js";
import { bringsFiles, filesOfDrop, filesOfInput } from "./upload-sources.js";

const SESSION_CHECK_MS = 10_000;

const root = document.getElementById("uploader");
const target = root.dataset.target.replace(/\/$/, "");
const session = new Session(root.dataset.tenant);
const queue = new UploadQueue((item, options) => send(target, item, { ...options, csrf: session.csrf }), session);
const panel = new UploadPanel(root, queue);
const part = (name) => root.querySelector(`[data-${name}]`);

let lookingThrough = 0; // drops whose folders are still being read
let finished = true;

function add(files, unreadable) {
  panel.show();
  finished = false;
  queue.add(files, unreadable);
}

// ---- ways in ----

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-pick]");
  if (button) root.querySelector(`[data-input="${button.dataset.pick}"]`).click();
});
for (const input of root.querySelectorAll("[data-input]"))
  input.addEventListener("change", () => {
    if (input.files.length) add(filesOfInput(input));
    input.value = ""; // so that the same choice counts again
  });

let depth = 0; // dragenter and dragleave come for every element under the pointer
const veil = (shown) => (part("veil").hidden = !shown);
addEventListener("dragenter", (event) => {
  if (!bringsFiles(event)) return;
  event.preventDefault();
  depth += 1;
  veil(true);
});
addEventListener("dragover", (event) => {
  if (!bringsFiles(event)) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "copy";
});
addEventListener("dragleave", (event) => {
  if (!bringsFiles(event)) return;
  depth = Math.max(0, depth - 1);
  if (!depth) veil(false);
});
addEventListener("drop", async (event) => {
  if (!bringsFiles(event)) return;
  event.preventDefault();
  depth = 0;
  veil(false);
  lookingThrough += 1;
  if (!queue.running) panel.looking(0);
  const { files, unreadable } = await filesOfDrop(event.dataTransfer, (found) => !queue.running && panel.looking(found));
  lookingThrough -= 1;
  add(files, files.length || unreadable.length ? unreadable : [{ path: "This folder", reason: "There is no file in it." }]);
});

// ---- the panel's buttons ----

part("pause").addEventListener("click", () => (queue.held ? queue.resume() : queue.hold("paused")));
part("retry").addEventListener("click", () => {
  finished = false;
  queue.retryFailed();
});
part("close").addEventListener("click", () => panel.close());
part("cancel").addEventListener("click", async () => {
  const question = { title: "Cancel the upload?", text: "What is uploaded already stays.", action: "Cancel upload" };
  if (queue.running && (await ask({ ...question, keep: "Go on uploading" }))) queue.cancel();
});
part("copy-failed").addEventListener("click", async () => {
  const copied = await copyText(queue.failed.map((item) => `${item.path}\t${item.reason}`).join("\n"));
  part("copy-failed").textContent = copied ? "Copied" : "The browser does not allow copying";
});

// ---- a session that ended, a connection that went ----

part("sign-in").href = root.dataset.portal;
part("go-on").addEventListener("click", goOn);
addEventListener("focus", () => waitsForSession() && goOn());
addEventListener("online", () => queue.held?.kind === "offline" && queue.resume());
setInterval(() => waitsForSession() && !document.hidden && goOn(), SESSION_CHECK_MS);

function waitsForSession() {
  return queue.held?.kind === "signed-out" || queue.held?.kind === "other-account";
}

async function goOn() {
  if (!waitsForSession()) return queue.resume();
  const { state } = await session.check();
  if (!waitsForSession()) return undefined; // somebody pressed a button meanwhile
  if (state === "same") return queue.resume();
  if (state === "other") return queue.hold("other-account");
  return undefined;
}

// ---- while it runs, and when it ends ----

addEventListener("beforeunload", (event) => {
  if (queue.running || lookingThrough) event.preventDefault();
});

let awake = null; // a phone that falls asleep stops the upload
async function stayAwake() {
  if (awake || document.hidden || !navigator.wakeLock) return;
  try {
    awake = await navigator.wakeLock.request("screen");
    awake.addEventListener("release", () => (awake = null));
  } catch {
    awake = null; // low battery, or not allowed: the upload goes on while the screen is on
  }
}
document.addEventListener("visibilitychange", () => queue.active.size && stayAwake());

queue.addEventListener("change", async () => {
  if (queue.active.size) stayAwake();
  if (queue.running || finished) return;
  finished = true;
  await awake?.release();
  if (queue.counts.stored + queue.counts.known) await refreshListing();
});

/** Put the folder as it is now into the page, unless the customer is choosing files in it. */
async function refreshListing() {
  if (document.querySelector(".selection [name=entry]:checked")) return;
  try {
    const response = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
    if (!response.ok) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("content");
    if (!fresh || queue.running) return;
    document.getElementById("content").replaceChildren(...fresh.childNodes);
  } catch {
    return; // the list is only older; reloading the page shows the new one
  }
  reveal();
  updateAll();
}
