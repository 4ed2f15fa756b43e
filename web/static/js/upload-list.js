// What an upload consists of: its files, how far each is, and the sums. Knows no page and no request. Always holds: every
// file added ends as stored, known, failed or cancelled, or has not ended; the sums are those over all files.

const RECENT_MAX = 20;
const LOOK_AHEAD_MAX = 500;

/**
 * @typedef {object} Item
 * @property {File|null} file null once it is not needed any more, or never could be read
 * @property {boolean} folder an empty folder: it has a name and nothing to send, and is not counted
 * @property {string} path relative to the folder the page shows, "/" between names
 * @property {number} size bytes
 * @property {"waiting"|"checking"|"sending"|"sent"|"stored"|"known"|"failed"|"cancelled"} state
 *   sent: the server has the bytes, and the name follows
 * @property {string} digest BLAKE3, 64 hex digits; "" until it is hashed
 * @property {boolean} known the account had these bytes already
 * @property {number} done bytes, in the states checking and sending, of this one file
 * @property {number} offset bytes of a large file that the server was last heard to have
 * @property {number} restarts how often it had to be hashed or sent anew
 * @property {string} reason why it failed
 * @property {Drop} drop
 */
/** @typedef {{total: number, done: number, named: number}} Drop what was dropped or chosen at once; `done` files need no more
 *   sending, `named` ones ended well */

const ENDED = new Set(["stored", "known", "failed", "cancelled"]);

export class UploadList extends EventTarget {
  constructor() {
    super();
    /** @type {Item[]} */ this.items = []; // files, and folders that failed
    /** @type {Item[]} */ this.failed = [];
    /** @type {Item[]} */ this.recent = []; // the last that ended well, newest first
    /** @type {Set<Item>} */ this.active = new Set(); // checking or sending
    this.counts = { stored: 0, known: 0, failed: 0, cancelled: 0 };
    this.sent = 0; // files in the state sent
    this.checked = 0; // files whose digest was found
    this.folders = { waiting: 0, made: 0 };
    this.bytes = { total: 0, ended: 0, sent: 0, stored: 0, known: 0 }; // sent: in the state sent
    this.flights = new Map(); // request under way → bytes of it that are out
    this.wire = 0; // bytes of finished requests
    this.cursor = 0;
  }

  get total() {
    return this.items.length;
  }

  get ended() {
    return this.counts.stored + this.counts.known + this.counts.failed + this.counts.cancelled;
  }

  /** Files that need no more sending. */
  get arrived() {
    return this.ended + this.sent;
  }

  get running() {
    return this.ended < this.total || this.folders.waiting > 0;
  }

  /** Bytes that need no more sending, those under way included. */
  get doneBytes() {
    return Math.min(this.bytes.total, this.bytes.ended + this.bytes.sent + this.#inFlight());
  }

  /** Bytes that went over the line, failed requests not counted. */
  get wireBytes() {
    return this.wire + this.#inFlight();
  }

  /** The next few that wait, for the list. */
  upcoming(limit) {
    const busy = (item) => item.state !== "waiting";
    while (this.cursor < this.items.length && busy(this.items[this.cursor])) this.cursor += 1;
    const ahead = this.items.slice(this.cursor, this.cursor + LOOK_AHEAD_MAX);
    return ahead.filter((item) => !busy(item)).slice(0, limit);
  }

  /** @returns {Item} */
  addFile(file, path, drop) {
    const item = newItem({ file, path, size: file.size, drop });
    this.items.push(item);
    this.bytes.total += item.size;
    return item;
  }

  addFolder(path, drop) {
    this.folders.waiting += 1;
    return newItem({ folder: true, path, drop });
  }

  addUnreadable(path, reason, drop) {
    const item = newItem({ path, drop });
    this.items.push(item);
    this.end(item, "failed", reason);
  }

  /** Into a state that is not an end. */
  move(item, state) {
    if (item.state === "sent") this.#countSent(item, -1);
    if (state === "sent") this.#countSent(item, 1);
    item.state = state;
    item.done = 0;
    if (state === "checking" || state === "sending") this.active.add(item);
    else this.active.delete(item);
  }

  /** @param {"stored"|"known"|"failed"|"cancelled"} state */
  end(item, state, reason = "") {
    if (ENDED.has(item.state)) return;
    const good = state === "stored" || state === "known";
    if (item.state === "sent") this.#countSent(item, -1);
    this.active.delete(item);
    Object.assign(item, { state, reason });
    if (item.folder) return this.#endFolder(item, good);
    this.#count(item);
    return undefined;
  }

  /** Take what failed and can be tried once more out of the failed. */
  takeFailed() {
    const again = this.failed.filter(retriable);
    this.failed = this.failed.filter((item) => !retriable(item));
    for (const item of again) {
      this.counts.failed -= 1;
      if (item.folder) {
        this.items.splice(this.items.indexOf(item), 1);
        this.folders.waiting += 1;
      } else this.bytes.ended -= item.size;
      this.checked -= item.digest ? 1 : 0;
      Object.assign(item, { state: "waiting", digest: "", known: false, restarts: 0, reason: "" });
    }
    this.cursor = 0;
    return again;
  }

  get canRetry() {
    return this.failed.some(retriable);
  }

  /** `bytes` of the request `key` are out. */
  fly(key, bytes) {
    this.flights.set(key, bytes);
  }

  /** The request `key` is over; `bytes` of it arrived. */
  land(key, bytes) {
    this.flights.delete(key);
    this.wire += bytes;
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }

  #inFlight() {
    let bytes = 0;
    for (const flying of this.flights.values()) bytes += flying;
    return bytes;
  }

  #countSent(item, sign) {
    if (item.folder) return;
    this.sent += sign;
    this.bytes.sent += sign * item.size;
    item.drop.done += sign;
  }

  #endFolder(item, good) {
    this.folders.waiting -= 1;
    if (good) this.folders.made += 1;
    if (item.state !== "failed") return;
    this.items.push(item);
    this.#count(item);
  }

  #count(item) {
    const { state } = item;
    this.counts[state] += 1;
    this.bytes.ended += item.size;
    if (state === "failed") this.failed.push(item);
    if (state !== "stored" && state !== "known") return;
    this.bytes[state] += item.size;
    item.drop.named += 1;
    item.drop.done += 1;
    this.recent.unshift(item);
    this.recent.length = Math.min(this.recent.length, RECENT_MAX);
    item.file = null; // let the browser forget it
  }
}

function newItem(given) {
  return { file: null, folder: false, size: 0, state: "waiting", digest: "", known: false, done: 0, offset: 0, restarts: 0, reason: "", ...given };
}

function retriable(item) {
  return item.file !== null || item.folder;
}
