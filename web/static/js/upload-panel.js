// The panel of an upload: draws the list a few times a second, with never more than ROWS_MAX rows, whatever its length.

import { bytes, count, plural, timeLeft } from "./format.js";
import { Rate } from "./rate.js";

const ROWS_MAX = 80;
const FAILED_MAX = 50;
const ACTIVE_MAX = 12;
const RECENT_MAX = 8;
const UPCOMING_MAX = 12;
const DRAW_MS = 250;
const BAR_BYTES = 1024 * 1024; // a smaller file is gone before its bar can be read

export class UploadPanel {
  /**
   * @param {HTMLElement} root
   * @param {import("./upload-list.js").UploadList} list
   * @param {import("./upload-line.js").Line} line
   */
  constructor(root, list, line) {
    this.list = list;
    this.line = line;
    this.rate = new Rate();
    this.part = (name) => root.querySelector(`[data-${name}]`);
    this.panel = this.part("panel");
    this.template = this.part("row");
    this.rows = new Map(); // item → its row
    this.timer = 0;
    this.said = "";
    this.part("fold").addEventListener("click", () => this.#fold());
    list.addEventListener("change", () => this.#schedule());
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
    this.part("total").hidden = false;
    this.part("total").removeAttribute("value"); // indeterminate
  }

  /** A sentence that stays for as long as the page does. */
  note(text) {
    this.#text("note", text);
    this.part("note").hidden = false;
  }

  #schedule() {
    if (this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = 0;
      this.#draw();
      if (this.list.running && !this.line.held) this.#schedule();
    }, DRAW_MS);
  }

  #draw() {
    const { list } = this;
    const { held } = this.line;
    const { running } = list;
    if (running && !held) this.rate.note(performance.now(), list);
    else this.rate.reset();
    this.#drawHead(running);
    this.#drawTrouble();
    this.#drawList();
    this.part("close").hidden = running;
    this.part("pause").hidden = this.part("cancel").hidden = !running;
    this.#text("pause", held?.kind === "paused" ? "Go on" : "Pause");
    this.part("pause").disabled = Boolean(held) && held.kind !== "paused";
    this.part("retry").hidden = running || !list.canRetry;
    this.part("copy-failed").hidden = running || !list.failed.length;
    this.panel.querySelector(".uploads-foot").hidden = !running && !list.failed.length;
  }

  #drawHead(running) {
    const { list } = this;
    const { held } = this.line;
    const total = this.part("total");
    total.value = list.bytes.total ? (list.doneBytes / list.bytes.total) * 1000 : (list.ended / Math.max(list.total, 1)) * 1000;
    total.hidden = !running;
    if (!running) return this.#drawSummary();
    const words = held ? (held.kind === "paused" ? "Paused" : "Waiting") : `Uploading ${plural(list.total, "file", "files")}`;
    this.#text("headline", words);
    this.#text("detail", `${count(list.arrived)} of ${count(list.total)} · ${bytes(Math.round(list.doneBytes))} of ${bytes(list.bytes.total)}`);
    this.#text("pace", this.#paceWords());
    return this.#say(words);
  }

  #drawSummary() {
    const { counts, bytes: sums, folders } = this.list;
    const { stored, known, failed, cancelled } = counts;
    const headline = failed
      ? `${plural(failed, "file was", "files were")} not uploaded`
      : cancelled ? "Upload cancelled" : "Upload complete";
    const parts = [[stored, "new"], [known, "already there"], [failed, "failed"], [cancelled, "cancelled"]];
    const words = parts.filter(([n]) => n).map(([n, what]) => `${count(n)} ${what}`);
    if (folders.made) words.push(plural(folders.made, "empty folder", "empty folders"));
    const sent = [sums.stored && `${bytes(sums.stored)} sent`, sums.known && `${bytes(sums.known)} not sent again`];
    this.#text("headline", headline);
    this.#text("detail", words.join(" · "));
    this.#text("pace", sent.filter(Boolean).join(" · "));
    this.#say(`${headline}. ${words.join(" · ")}`);
  }

  #paceWords() {
    const { list, rate } = this;
    const under = list.active.size;
    if (this.line.held) return under ? `${plural(under, "file", "files")} under way will finish` : "";
    const speed = rate.bytesPerSecond;
    const seconds = rate.secondsLeft(list.bytes.total - list.doneBytes, list.total - list.arrived);
    const looking = list.checked && list.checked < list.total && `${count(list.checked)} checked`;
    return [looking, speed && `${bytes(Math.round(speed))}/s`, seconds !== null && timeLeft(seconds)].filter(Boolean).join(" · ");
  }

  #drawTrouble() {
    const { held } = this.line;
    const trouble = held && held.kind !== "paused";
    this.part("trouble").hidden = !trouble;
    if (!trouble) return;
    const words = {
      "signed-out": "Your session has ended. Sign in again in another tab, then this upload goes on. Nothing is lost.",
      "other-account": "Another account is signed in now. This upload belongs to the first one: sign in to it again to go on.",
      offline: "You are offline. The upload goes on by itself when the connection is back.",
      unreachable: "OTB Cloud does not answer. The upload goes on by itself as soon as it does.",
      full: held.text,
      busy: held.text,
    }[held.kind];
    if (this.#text("trouble-text", words)) this.#say(words);
    this.part("sign-in").hidden = held.kind !== "signed-out" && held.kind !== "other-account";
    if (this.panel.classList.contains("uploads-folded")) this.#fold();
  }

  #drawList() {
    const { list } = this;
    const active = [...list.active].sort((one, other) => (other.size > BAR_BYTES) - (one.size > BAR_BYTES));
    const wanted = [...active.slice(0, ACTIVE_MAX), ...list.failed.slice(0, FAILED_MAX)];
    const room = (most) => Math.max(0, Math.min(most, ROWS_MAX - wanted.length));
    wanted.push(...list.recent.slice(0, room(RECENT_MAX)));
    wanted.push(...list.upcoming(room(UPCOMING_MAX)));
    const place = this.part("list");
    const keep = new Set(wanted);
    for (const [item, row] of this.rows)
      if (!keep.has(item)) {
        row.remove();
        this.rows.delete(item);
      }
    wanted.forEach((item, index) => {
      const row = this.#row(item);
      if (place.children[index] !== row) place.insertBefore(row, place.children[index] ?? null);
    });
    const more = list.total - wanted.length;
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
    const state = STATES[item.state](item);
    const words = row.querySelector(".upload-state");
    if (words.textContent !== state) words.textContent = state;
    row.classList.toggle("upload-failed", item.state === "failed");
    row.classList.toggle("upload-done", item.state === "stored" || item.state === "known");
    const bar = row.querySelector("progress");
    bar.hidden = !this.list.active.has(item) || item.size <= BAR_BYTES;
    bar.value = item.size ? (item.done / item.size) * 1000 : 0;
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
  waiting: () => "Waiting",
  checking: (item) => `Checking ${share(item)}`,
  sending: sendingWords,
  sent: () => "Sent",
  stored: (item) => bytes(item.size),
  known: () => "Already there",
  failed: (item) => item.reason,
  cancelled: () => "Cancelled",
};

function sendingWords(item) {
  if (item.size <= BAR_BYTES) return `Sending ${bytes(item.size)}`;
  return item.done >= item.size ? "Finishing" : `${share(item)} of ${bytes(item.size)}`;
}

function share(item) {
  return `${item.size ? Math.floor((item.done / item.size) * 100) : 0} %`;
}
