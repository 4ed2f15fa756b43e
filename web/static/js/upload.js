// Uploading on a folder's page: wires the buttons, the drop, the engine and the panel together.

import { ask } from "./confirm.js";
import { copyText } from "./copy.js";
import { plural } from "./format.js";
import { reveal } from "./page.js";
import { updateAll } from "./selection.js";
import { Session } from "./session.js";
import { Engine } from "./upload-engine.js";
import { Hasher } from "./upload-hasher.js";
import { Line } from "./upload-line.js";
import { UploadList } from "./upload-list.js";
import { Memory } from "./upload-memory.js";
import { Offer } from "./upload-offer.js";
import { UploadPanel } from "./upload-panel.js";
import { Server } from "./upload-server.js";
import { bringsFiles, filesOfDrop, filesOfHandles, filesOfInput, handlesOfDrop, nameOf } from "./upload-sources.js";

const SESSION_CHECK_MS = 10_000;

const root = document.getElementById("uploader");
const { device, folder, tenant } = root.dataset;
const session = new Session(tenant);
const line = new Line(session);
const list = new UploadList();
const panel = new UploadPanel(root, list, line);
const memory = new Memory({ tenant, page: location.pathname });
const offer = new Offer(root, memory, goOnWith);
const part = (name) => root.querySelector(`[data-${name}]`);

const drops = new Set(); // those of this page, while their files are not all there
let lookingThrough = 0; // drops whose folders are still being read
let finished = true;
let starting = null; // the engine, once something is uploaded

/** Started when the first files come: most visits of a page upload nothing. */
function engine() {
  starting ??= (async () => {
    const hasher = new Hasher("/static/built/hasher.js");
    const hashes = await hasher.start();
    if (!hashes) panel.note("This browser cannot check beforehand what is already there, so every file is sent whole.");
    const target = `/api/v1/devices/${device}/files/originals${folder && `/${folder}`}`;
    return new Engine({ list, line, server: new Server({ device, folder, session }), hasher: hashes ? hasher : null, target });
  })();
  return starting;
}

/** @param {import("./upload-sources.js").Found} found @param {Promise<FileSystemHandle[]>|FileSystemHandle[]} handles */
async function add(found, handles = []) {
  panel.show();
  offer.hide();
  const name = nameOf(found, (files) => plural(files, "file", "files"));
  const [running, drop] = await Promise.all([engine(), memory.begin(name, found.files.length, await handles)]);
  drops.add(drop);
  finished = false;
  running.add(found, drop);
}

async function look(walk, handles) {
  lookingThrough += 1;
  if (!list.running) panel.looking(0);
  const found = await walk((files) => !list.running && panel.looking(files));
  if (!found.files.length && !found.folders.length && !found.unreadable.length)
    found.unreadable.push({ path: "This folder", reason: "There is nothing in it." });
  await add(found, handles);
  lookingThrough -= 1;
}

function goOnWith(drop) {
  return look((progress) => filesOfHandles(drop.handles, progress), drop.handles);
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
addEventListener("drop", (event) => {
  if (!bringsFiles(event)) return;
  event.preventDefault();
  depth = 0;
  veil(false);
  const { dataTransfer } = event;
  const handles = handlesOfDrop(dataTransfer);
  look((progress) => filesOfDrop(dataTransfer, progress), handles);
});

// ---- the panel's buttons ----

part("pause").addEventListener("click", () => (line.held ? line.resume() : line.hold("paused")));
part("retry").addEventListener("click", async () => {
  finished = false;
  (await engine()).retryFailed();
});
part("close").addEventListener("click", () => {
  panel.close();
  forgetDrops();
});
part("cancel").addEventListener("click", async () => {
  const question = { title: "Cancel the upload?", text: "What is uploaded already stays.", action: "Cancel upload" };
  if (!list.running || !(await ask({ ...question, keep: "Go on uploading" }))) return;
  (await engine()).cancel();
  forgetDrops();
});
part("copy-failed").addEventListener("click", async () => {
  const copied = await copyText(list.failed.map((item) => `${item.path}\t${item.reason}`).join("\n"));
  part("copy-failed").textContent = copied ? "Copied" : "The browser does not allow copying";
});

/** The customer knows how these ended. */
function forgetDrops() {
  for (const drop of drops) memory.forget(drop);
  drops.clear();
}

// ---- a session that ended, a connection that went ----

part("sign-in").href = root.dataset.portal;
part("go-on").addEventListener("click", goOn);
addEventListener("focus", () => waitsForSession() && goOn());
addEventListener("online", () => ["offline", "unreachable"].includes(line.held?.kind) && line.resume());
setInterval(() => waitsForSession() && !document.hidden && goOn(), SESSION_CHECK_MS);

function waitsForSession() {
  return line.held?.kind === "signed-out" || line.held?.kind === "other-account";
}

async function goOn() {
  if (!waitsForSession()) return line.resume();
  const { state } = await session.check();
  if (!waitsForSession()) return undefined; // somebody pressed a button meanwhile
  if (state === "same") return line.resume();
  if (state === "other") return line.hold("other-account");
  return undefined;
}

// ---- while it runs, and when it ends ----

addEventListener("beforeunload", (event) => {
  if (list.running || lookingThrough) event.preventDefault();
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
document.addEventListener("visibilitychange", () => list.active.size && stayAwake());

list.addEventListener("change", async () => {
  if (list.active.size) stayAwake();
  memory.note(drops);
  if (list.running || lookingThrough || finished) return;
  finished = true;
  await awake?.release();
  if (list.counts.stored + list.counts.known + list.folders.made) await refreshListing();
});

/** Put the folder as it is now into the page, unless the customer is choosing files in it. */
async function refreshListing() {
  if (document.querySelector(".selection [name=entry]:checked")) return;
  try {
    const response = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
    if (!response.ok) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("content");
    if (!fresh || list.running) return;
    document.getElementById("content").replaceChildren(...fresh.childNodes);
  } catch {
    return; // the list is only older; reloading the page shows the new one
  }
  reveal();
  updateAll();
}

offer.show();
