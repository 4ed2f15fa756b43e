// The panel of an upload: draws the queue a few times a second, with never more than ROWS_MAX rows, whatever its length.

import { bytes, count, plural, timeLeft } from "./format.js";
import { Rate } from "./rate.js";

const ROWS_MAX = 80;
const FAILED_MAX = 50;
const DRAW_MS = 250;
const BAR_BYTES = 1024 * 1024; // a smaller file is gone before its bar can be read

export class UploadPanel {
  /** @param {HTMLElement} root @param {import("./upload-queue.js").UploadQueue} queue */
  constructor(root, queue) {
    this.queue = queue;
    this.rate = new Rate();
    this.part = (name) => root.querySelector(`[data-${name}]`);
    this.panel = this.part("panel");
    this.template = this.part("row");
    this.rows = new Map(); // item → its row
    this.timer = 0;
    this.said = "";
    this.part("fold").addEventListener("click", () => this.#fold());
    queue.addEventListener("change", () => this.#schedule());
  }

  show() {
    this.panel.hidden = false;
    document.body.classList.add("uploading");
  }

  close() {
    this.panel.hidden = true;
    document.body.classList.remove("uploading");
  }

  /** While a dropped folder is looked through. */
  looking(found) {
    this.show();
    this.#text("headline", "Looking through the folder");
    this.#text("detail", `${plural(found, "file", "files")} so far`);
    this.#text("pace", "");
    this.part("total").removeAttribute("value"); // indeterminate
  }

  #schedule() {
    if (this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = 0;
      this.#draw();
      if (this.queue.active.size) this.#schedule();
    }, DRAW_MS);
  }

  #draw() {
    const { queue } = this;
    const running = queue.running;
    if (running && !queue.held) this.rate.note(performance.now(), queue.sentBytes, queue.ended);
    else this.rate.reset();
    this.#drawHead(running);
    this.#drawTrouble();
    this.#drawList();
    this.part("close").hidden = running;
    this.part("pause").hidden = this.part("cancel").hidden = !running;
    this.part("pause").textContent = queue.held?.kind === "paused" ? "Go on" : "Pause";
    this.part("pause").disabled = Boolean(queue.held) && queue.held.kind !== "paused";
    this.part("retry").hidden = running || !queue.failed.some((item) => item.file);
    this.part("copy-failed").hidden = running || !queue.failed.length;
    this.panel.querySelector(".uploads-foot").hidden = !running && !queue.failed.length;
  }

  #drawHead(running) {
    const { queue } = this;
    const { stored, known, failed, cancelled } = queue.counts;
    const total = this.part("total");
    total.value = queue.bytes.total ? (queue.sentBytes / queue.bytes.total) * 1000 : (queue.ended / Math.max(queue.total, 1)) * 1000;
    total.hidden = !running;
    if (running) {
      const words = queue.held ? (queue.held.kind === "paused" ? "Paused" : "Waiting") : `Uploading ${plural(queue.total, "file", "files")}`;
      this.#text("headline", words);
      this.#text("detail", `${count(queue.ended)} of ${count(queue.total)} · ${bytes(queue.sentBytes)} of ${bytes(queue.bytes.total)}`);
      this.#text("pace", this.#paceWords());
      this.#say(words);
      return;
    }
    const headline = failed
      ? `${plural(failed, "file was", "files were")} not uploaded`
      : cancelled ? "Upload cancelled" : `Upload complete`;
    const parts = [[stored, "uploaded"], [known, "already there"], [failed, "failed"], [cancelled, "cancelled"]];
    const summary = parts.filter(([n]) => n).map(([n, words]) => `${count(n)} ${words}`).join(" · ");
    this.#text("headline", headline);
    this.#text("detail", summary);
    this.#text("pace", "");
    this.#say(`${headline}. ${summary}`);
  }

  #paceWords() {
    const { queue } = this;
    if (queue.held) return queue.active.size ? `${plural(queue.active.size, "file", "files")} under way will finish` : "";
    const speed = this.rate.bytesPerSecond;
    const seconds = this.rate.secondsLeft(queue.bytes.total - queue.sentBytes, queue.total - queue.ended);
    return [speed && `${bytes(Math.round(speed))}/s`, seconds !== null && timeLeft(seconds)].filter(Boolean).join(" · ");
  }

  #drawTrouble() {
    const { held } = this.queue;
    const trouble = held && held.kind !== "paused";
    this.part("trouble").hidden = !trouble;
    if (!trouble) return;
    const words = {
      "signed-out": "Your session has ended. Sign in again in another tab, then this upload goes on. Nothing is lost.",
      "other-account": "Another account is signed in now. This upload belongs to the first one: sign in to it again to go on.",
      offline: "You are offline. The upload goes on by itself when the connection is back.",
      full: held.text,
      busy: held.text,
    }[held.kind];
    if (this.#text("trouble-text", words)) this.#say(words);
    this.part("sign-in").hidden = held.kind !== "signed-out" && held.kind !== "other-account";
    if (this.panel.classList.contains("uploads-folded")) this.#fold();
  }

  #drawList() {
    const { queue } = this;
    const wanted = [...queue.active, ...queue.failed.slice(0, FAILED_MAX)];
    wanted.push(...queue.recent.slice(0, Math.max(0, Math.min(12, ROWS_MAX - wanted.length))));
    wanted.push(...queue.upcoming(Math.max(0, Math.min(20, ROWS_MAX - wanted.length))));
    const list = this.part("list");
    for (const [item, row] of this.rows)
      if (!wanted.includes(item)) {
        row.remove();
        this.rows.delete(item);
      }
    wanted.forEach((item, index) => {
      const row = this.#row(item);
      if (list.children[index] !== row) list.insertBefore(row, list.children[index] ?? null);
    });
    const more = queue.total - wanted.length;
    this.part("more").hidden = more <= 0;
    this.#text("more", `and ${plural(more, "file", "files")} more`);
  }

  #row(item) {
    let row = this.rows.get(item);
    if (!row) {
      row = this.template.content.firstElementChild.cloneNode(true);
      const name = row.querySelector(".upload-name");
      name.textContent = item.path.split("/").at(-1);
      name.title = item.path;
      this.rows.set(item, row);
    }
    const state = item.state === "sending" ? sendingWords(item) : STATES[item.state](item);
    const words = row.querySelector(".upload-state");
    if (words.textContent !== state) words.textContent = state;
    row.classList.toggle("upload-failed", item.state === "failed");
    row.classList.toggle("upload-done", item.state === "stored" || item.state === "known");
    const bar = row.querySelector("progress");
    bar.hidden = item.state !== "sending" || item.size < BAR_BYTES;
    bar.value = item.size ? (item.sent / item.size) * 1000 : 0;
    bar.setAttribute("aria-label", item.path);
    return row;
  }

  #fold() {
    const folded = this.panel.classList.toggle("uploads-folded");
    this.part("fold").setAttribute("aria-expanded", String(!folded));
    this.part("fold").setAttribute("aria-label", folded ? "Unfold the list" : "Fold the list");
  }

  #text(name, text) {
    const element = this.part(name);
    if (element.textContent === text) return false;
    element.textContent = text;
    return true;
  }

  #say(text) {
    if (this.said === text) return;
    this.said = text;
    this.part("say").textContent = text;
  }
}

const STATES = {
  waiting: (item) => item.reason || "Waiting",
  stored: (item) => bytes(item.size),
  known: () => "Already there",
  failed: (item) => item.reason,
  cancelled: () => "Cancelled",
};

function sendingWords(item) {
  if (item.size && item.sent >= item.size) return "Checking";
  return item.size >= BAR_BYTES ? `${Math.floor((item.sent / item.size) * 100)} % of ${bytes(item.size)}` : `Sending ${bytes(item.size)}`;
}
