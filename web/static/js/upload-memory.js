// What the browser remembers of uploads that have not ended, in IndexedDB, so that a reloaded page can go on. It holds no
// contents: a name, two numbers and, where the browser has them, handles to what was dropped. All of it is a convenience:
// where the browser stores nothing, the same folder is dropped again and only the rest is sent.

const DATABASE = "otb-uploads";
const STORE = "drops";
const KEPT_DAYS = 30;
const HANDLES_MAX = 100;
const WRITE_MS = 500;
const ANSWER_MS_MAX = 3000; // a store that does not answer must not hold an upload

/**
 * @typedef {object} Drop
 * @property {string} id
 * @property {string} tenant whose upload it is
 * @property {string} page path of the folder's page
 * @property {string} name of what was dropped
 * @property {FileSystemHandle[]} handles [] where there are none
 * @property {number} total files
 * @property {number} done files that need no more sending
 * @property {number} named files that have their names as well
 * @property {number} before the same, of an earlier start
 * @property {number} at milliseconds since the epoch
 */

export class Memory {
  /** @param {{tenant: string, page: string}} place */
  constructor(place) {
    this.place = place;
    this.database = null;
    this.written = new Map(); // drop → how far it was when last written
    this.timer = 0;
  }

  /** Uploads that did not end, of this account into this folder, and that no other window is at. @returns {Promise<Drop[]>} */
  async unfinished() {
    const drops = await this.#do("readonly", (store) => store.getAll());
    const busy = await locksHeld();
    const mine = (drops ?? []).filter((drop) => drop.tenant === this.place.tenant && drop.page === this.place.page);
    const old = (drops ?? []).filter((drop) => Date.now() - drop.at > KEPT_DAYS * 86_400_000);
    for (const drop of old) this.forget(drop);
    return mine.filter((drop) => !old.includes(drop) && drop.named < drop.total && !busy.has(lockName(drop)));
  }

  /** Remember one from its start. An earlier one of the same name is the same, begun again. @returns {Promise<Drop>} */
  async begin(name, total, handles = []) {
    let before = 0;
    for (const earlier of await this.unfinished()) {
      if (earlier.name !== name) continue;
      before = Math.min(total, Math.max(earlier.done, earlier.before));
      this.forget(earlier);
    }
    const kept = handles.length <= HANDLES_MAX ? handles : [];
    const drop = { id: randomId(), ...this.place, name, handles: kept, total, done: 0, named: 0, before, at: Date.now() };
    lock(drop);
    await this.#write(drop);
    return drop;
  }

  /** Note how far these are; the ended ones are forgotten. Written now and then. @param {Iterable<Drop>} drops */
  note(drops) {
    this.drops = drops;
    this.timer ||= setTimeout(() => {
      this.timer = 0;
      for (const drop of this.drops) {
        const far = `${drop.done} ${drop.named}`;
        if (this.written.get(drop) === far) continue;
        this.written.set(drop, far);
        if (drop.named < drop.total) this.#write(drop);
        else this.forget(drop);
      }
    }, WRITE_MS);
  }

  forget(drop) {
    return this.#do("readwrite", (store) => store.delete(drop.id));
  }

  async #write(drop) {
    if ((await this.#do("readwrite", (store) => store.put(drop))) !== undefined || !drop.handles.length) return;
    await this.#do("readwrite", (store) => store.put({ ...drop, handles: [] })); // handles that it cannot store
  }

  async #asked(mode, act) {
    this.database ??= await opened();
    return result(act(this.database.transaction(STORE, mode).objectStore(STORE)));
  }

  /** @returns {Promise<any>} undefined where the browser does not store */
  async #do(mode, act) {
    try {
      return await Promise.race([this.#asked(mode, act), nothingAfter(ANSWER_MS_MAX)]);
    } catch {
      return undefined; // private browsing, no room: the upload itself needs none of it
    }
  }
}

function nothingAfter(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** How many files of it are left; the last until it has its name. @param {Drop} drop */
export function left(drop) {
  return drop.total - Math.min(Math.max(drop.done, drop.before), drop.total - 1);
}

/** Ask for the right to read what the handles stand for; inside a click. @param {FileSystemHandle[]} handles */
export async function mayRead(handles) {
  for (const handle of handles) {
    try {
      if ((await handle.requestPermission?.({ mode: "read" })) === "denied") return false;
    } catch {
      return false;
    }
  }
  return true;
}

function opened() {
  const asked = indexedDB.open(DATABASE, 1);
  asked.onupgradeneeded = () => asked.result.createObjectStore(STORE, { keyPath: "id" });
  return result(asked);
}

function result(asked) {
  return new Promise((resolve, reject) => {
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}

function randomId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function lockName(drop) {
  return `otb-upload:${drop.id}`;
}

/** Held until the page goes: another window does not offer to continue what this one is at. */
function lock(drop) {
  navigator.locks?.request(lockName(drop), () => new Promise(() => {}));
}

async function locksHeld() {
  const { held = [] } = (await navigator.locks?.query()) ?? {};
  return new Set(held.map(({ name }) => name));
}
