// The queue of an upload: what waits, what is under way, what failed and why. Knows no page and no request; `send` and
// `session` are given. Always holds: every file added ends as stored, known, failed or cancelled, or is still waiting;
// the totals are the sums over all files; nothing is tried again after the server refused it, unless the customer asks.

export const SLOTS = 5; // a browser opens six connections to a server; one stays free for the page
export const LARGE_BYTES = 32 * 1024 * 1024;
const LARGE_SLOTS = 2;
const TRIES_MAX = 7;
const WAIT_SECONDS_MAX = 60;
const LONG_WAIT_SECONDS = 60;

/**
 * @typedef {object} Item
 * @property {File|null} file
 * @property {string} path
 * @property {number} size bytes
 * @property {"waiting"|"sending"|"stored"|"known"|"failed"|"cancelled"} state
 * @property {number} sent bytes of the attempt under way
 * @property {number} tries attempts that broke
 * @property {string} reason why it failed, or is tried again
 */

export class UploadQueue extends EventTarget {
  /**
   * @param {(item: Item, options: {progress: Function, signal: AbortSignal}) => Promise<import("./upload-send.js").Outcome>} send
   * @param {import("./session.js").Session} session
   */
  constructor(send, session) {
    super();
    this.send = send;
    this.session = session;
    /** @type {Item[]} */ this.items = [];
    /** @type {Item[]} */ this.failed = [];
    /** @type {Item[]} */ this.recent = []; // the last that ended well, newest first
    /** @type {Set<Item>} */ this.active = new Set();
    this.again = []; // waiting a while before the next try: {item, at}
    this.cursor = 0; // items before it were started at least once
    this.front = []; // started before, and to be taken next
    this.counts = { stored: 0, known: 0, failed: 0, cancelled: 0 };
    this.bytes = { total: 0, ended: 0 };
    this.held = null; // why nothing new starts: {kind: "paused"|"signed-out"|"other-account"|"full"|"busy"|"offline", text}
    this.abort = new AbortController();
    this.timer = 0;
  }

  get total() {
    return this.items.length;
  }

  get ended() {
    return this.counts.stored + this.counts.known + this.counts.failed + this.counts.cancelled;
  }

  get running() {
    return this.ended < this.total;
  }

  get sentBytes() {
    let sent = this.bytes.ended;
    for (const item of this.active) sent += Math.min(item.sent, item.size);
    return sent;
  }

  /** The next few that wait, for the list. */
  upcoming(limit) {
    const waiting = [...this.front, ...this.again.map((one) => one.item)].slice(0, limit);
    return waiting.concat(this.items.slice(this.cursor, this.cursor + limit - waiting.length).filter((item) => item.state === "waiting"));
  }

  /** @param {{file: File, path: string}[]} files @param {{path: string, reason: string}[]} unreadable */
  add(files, unreadable = []) {
    for (const { file, path } of files) {
      this.items.push({ file, path, size: file.size, state: "waiting", sent: 0, tries: 0, reason: "" });
      this.bytes.total += file.size;
    }
    for (const { path, reason } of unreadable) {
      const item = { file: null, path, size: 0, state: "waiting", sent: 0, tries: 0, reason: "" };
      this.items.push(item);
      this.#fail(item, reason);
    }
    this.#changed();
    this.#pump();
  }

  hold(kind, text = "") {
    this.held = { kind, text };
    this.#changed();
  }

  resume() {
    this.held = null;
    this.#changed();
    this.#pump();
  }

  /** End everything that has not ended. What is stored stays. */
  cancel() {
    this.abort.abort();
    this.abort = new AbortController();
    clearTimeout(this.timer);
    for (const item of this.items) if (item.state === "waiting") this.#end(item, "cancelled");
    this.front = [];
    this.again = [];
    this.cursor = this.items.length;
    this.held = null;
    this.#changed();
  }

  /** Try once more what failed and can be read. */
  retryFailed() {
    const retried = this.failed.filter((item) => item.file);
    this.failed = this.failed.filter((item) => !item.file);
    for (const item of retried) {
      Object.assign(item, { state: "waiting", sent: 0, tries: 0, reason: "" });
      this.counts.failed -= 1;
      this.bytes.ended -= item.size;
    }
    this.front.push(...retried);
    this.resume();
  }

  #pump() {
    if (this.held) return;
    const now = Date.now();
    while (true) {
      const item = this.#peek(now);
      if (!item || (this.active.size && this.#slotsTaken() + slots(item) > SLOTS)) break;
      this.#take(item, now);
      this.#run(item);
    }
    this.#wake(now);
  }

  #peek(now) {
    const due = this.again.find((one) => one.at <= now);
    if (due) return due.item;
    if (this.front.length) return this.front[0];
    while (this.cursor < this.items.length && this.items[this.cursor].state !== "waiting") this.cursor += 1;
    return this.items[this.cursor];
  }

  #take(item, now) {
    const due = this.again.findIndex((one) => one.item === item && one.at <= now);
    if (due >= 0) this.again.splice(due, 1);
    else if (this.front[0] === item) this.front.shift();
    else this.cursor += 1;
  }

  #slotsTaken() {
    let taken = 0;
    for (const item of this.active) taken += slots(item);
    return taken;
  }

  #wake(now) {
    clearTimeout(this.timer);
    if (!this.again.length) return;
    const next = Math.min(...this.again.map((one) => one.at));
    this.timer = setTimeout(() => this.#pump(), Math.max(next - now, 50));
  }

  async #run(item) {
    item.state = "sending";
    item.sent = 0;
    this.active.add(item);
    const { signal } = this.abort;
    const outcome = await this.send(item, { signal, progress: (sent) => (item.sent = sent) });
    await this.#settle(item, outcome, signal);
    this.active.delete(item);
    this.#changed();
    this.#pump();
  }

  async #settle(item, outcome, signal) {
    if (outcome.kind === "stored") return this.#end(item, outcome.known ? "known" : "stored");
    let { kind, reason = "" } = outcome;
    if (kind === "forbidden" || kind === "broken") ({ kind, reason } = await this.#explain(item, kind, reason));
    if (signal.aborted || kind === "aborted") return this.#end(item, "cancelled");
    switch (kind) {
      case "busy":
        if (outcome.afterSeconds >= LONG_WAIT_SECONDS) return this.#comeBack(item, reason, outcome.afterSeconds);
        return this.#tryAgain(item, reason, outcome.afterSeconds);
      case "broken":
        return this.#tryAgain(item, reason, 0);
      case "renewed":
        return this.#requeue(item);
      case "full": // this one does not fit; whether smaller ones still do is for the customer to try
        this.#fail(item, reason);
        return this.running ? this.hold(kind, reason) : undefined;
      case "signed-out":
      case "other-account":
      case "offline":
        this.#requeue(item);
        return this.hold(kind, reason);
      default:
        return this.#fail(item, reason);
    }
  }

  /** What is behind a refusal or a broken connection: the session, the quota, the network. */
  async #explain(item, kind, reason) {
    if (kind === "broken" && !navigator.onLine) return { kind: "offline", reason: "" };
    const { state, renewed, freeBytes } = await this.session.check();
    if (state === "out") return { kind: "signed-out", reason: "" };
    if (state === "other") return { kind: "other-account", reason: "" };
    if (kind === "forbidden") return renewed ? { kind: "renewed", reason: "" } : { kind: "refused", reason };
    if (freeBytes !== undefined && item.size > freeBytes && item.size > LARGE_BYTES)
      return { kind: "full", reason: "This file needs more space than your account has left. Delete files for good, or ask for more space." };
    return { kind, reason };
  }

  #tryAgain(item, reason, afterSeconds) {
    item.tries += 1;
    item.sent = 0;
    if (item.tries >= TRIES_MAX) return this.#fail(item, reason || "The connection broke again and again. Try again later.");
    const wait = Math.max(afterSeconds, Math.min(2 ** (item.tries - 1), WAIT_SECONDS_MAX)) * (1 + Math.random() / 4);
    Object.assign(item, { state: "waiting", reason: "Trying again" });
    this.again.push({ item, at: Date.now() + wait * 1000 });
    return undefined;
  }

  /** The server is closed for uploads and says for how long: everything waits, and the page says why. */
  #comeBack(item, reason, afterSeconds) {
    this.#requeue(item);
    this.hold("busy", reason);
    setTimeout(() => this.held?.kind === "busy" && this.resume(), afterSeconds * 1000);
  }

  #requeue(item) {
    Object.assign(item, { state: "waiting", sent: 0 });
    this.front.push(item);
  }

  #fail(item, reason) {
    item.reason = reason;
    this.failed.push(item);
    this.#end(item, "failed");
  }

  #end(item, state) {
    item.state = state;
    this.counts[state] += 1;
    this.bytes.ended += item.size;
    if (state === "stored" || state === "known") {
      this.recent.unshift(item);
      this.recent.length = Math.min(this.recent.length, 20);
      item.file = null; // let the browser forget it
    }
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

function slots(item) {
  return item.size > LARGE_BYTES ? LARGE_SLOTS : 1;
}
