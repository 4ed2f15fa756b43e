// How an upload goes: files are hashed, the server is asked what is missing, only that is sent, small ones together, and
// then all get their names in manifests. Each stage takes what the one before left, so hashing, asking, sending and naming
// go on side by side. Where the browser cannot hash, each file is sent whole.
//
// Always holds: bytes are sent once, however many files have them; no more than BATCHES × BATCH_BYTES of contents are in
// memory; a file counts as stored only when the server has acknowledged its name.

import { CHANGED, putFile } from "./upload-plain.js";
import { BATCH_BLOB_BYTES_MAX, unreadable } from "./upload-server.js";
import { sendLarge } from "./upload-tus.js";

const LANES = 4; // a browser opens six connections to a server: one for asking and naming, one stays free for the page
const BATCHES = 3;
const LARGE = 2;
const BATCH_BYTES = 8 * 1024 * 1024;
const BATCH_BLOBS = 1000;
const HASHED_TOGETHER = 100;
const ASKED_TOGETHER = 10_000;
const ASK_FROM = 1000;
const NAMED_TOGETHER = 2000;
const NAMED_CHARACTERS = 300_000; // of paths: a manifest's body stays below the 1 MiB that any request may have
const NAME_MS = 10_000; // no file waits longer for its name
const RESTARTS_MAX = 3;
const LOCK = "This file could not be read. It may be locked, moved or deleted. Choose it again.";
const UNSENDABLE = "This name has characters that no browser can send. Rename the file.";
const THERE = Symbol("the account has these bytes");

/** @typedef {import("./upload-list.js").Item} Item */

export class Engine {
  /**
   * @param {{list: import("./upload-list.js").UploadList, line: import("./upload-line.js").Line,
   *   server: import("./upload-server.js").Server, hasher: import("./upload-hasher.js").Hasher|null, target: string}} parts
   *   `hasher` null: send each file whole, to `target`
   */
  constructor({ list, line, server, hasher, target }) {
    Object.assign(this, { list, line, server, hasher, target });
    this.session = line.session;
    this.blobs = new Map(); // digest → THERE, or the items that wait for the one of them that is being sent
    this.running = { hash: 0, hashLarge: 0, ask: 0, batch: 0, large: 0, name: 0 };
    this.abort = new AbortController();
    this.naming = new AbortController(); // what is sent gets its name even when the rest is cancelled
    this.namedAt = 0;
    this.timer = 0;
    this.#empty();
    line.addEventListener("change", () => {
      this.list.changed();
      this.#pump();
    });
  }

  /** @param {{files: {file: File, path: string}[], folders: string[], unreadable: {path: string, reason: string}[]}} found */
  add({ files, folders = [], unreadable = [] }, drop) {
    if (!this.list.running) this.namedAt = performance.now();
    for (const { file, path } of files) {
      const item = this.list.addFile(file, path, drop);
      if (!sendable(path)) this.list.end(item, "failed", UNSENDABLE);
      else this.#begin(item);
    }
    for (const path of folders) this.stages.name.push(this.list.addFolder(path, drop));
    for (const { path, reason } of unreadable) this.list.addUnreadable(path, reason, drop);
    this.#pump();
  }

  retryFailed() {
    for (const item of this.list.takeFailed()) this.#begin(item);
    this.line.resume();
  }

  /** End everything that has not ended. What the server has gets its name first, unless the line is held. */
  cancel() {
    const keep = !this.line.held || this.line.held.kind === "paused";
    this.abort.abort();
    this.abort = new AbortController();
    const { name } = this.stages;
    this.#empty();
    if (keep) this.stages.name = name;
    else {
      this.naming.abort();
      this.naming = new AbortController();
      for (const item of name.take(name.length)) this.list.end(item, "cancelled");
    }
    for (const item of this.list.items) if (!keep || item.state !== "sent") this.list.end(item, "cancelled");
    for (const [digest, waiting] of this.blobs) if (waiting !== THERE) this.blobs.delete(digest);
    this.line.resume();
  }

  #empty() {
    this.stages = { hash: new Fifo(), hashLarge: new Fifo(), ask: new Fifo(), batch: new Fifo(), large: new Fifo(), name: new Fifo() };
  }

  #begin(item) {
    const { stages } = this;
    if (item.folder) stages.name.push(item);
    else if (!this.hasher) stages.large.push(item);
    else (item.size <= BATCH_BLOB_BYTES_MAX ? stages.hash : stages.hashLarge).push(item);
  }

  // ---- which stage may take what ----

  #pump() {
    clearTimeout(this.timer);
    this.list.changed();
    const { held } = this.line;
    if (held && held.kind !== "paused") return;
    this.#pumpNames();
    if (held) return;
    const { stages, running } = this;
    if (stages.hash.length && !running.hash) this.#run("hash", () => this.#hashSmall(stages.hash.take(HASHED_TOGETHER)));
    if (stages.hashLarge.length && !running.hashLarge) this.#run("hashLarge", () => this.#hashLarge(stages.hashLarge.take(1)[0]));
    if (this.#mayAsk()) this.#run("ask", () => this.#ask(stages.ask.take(ASKED_TOGETHER)));
    while (this.#maySendLarge()) {
      const [item] = stages.large.take(1);
      this.#run("large", () => (this.hasher ? this.#sendLarge(item) : this.#putWhole(item)));
    }
    while (this.#maySendBatch()) {
      const items = this.#takeBatch();
      this.#run("batch", () => this.#sendBatch(items));
    }
  }

  /** At once when there is nothing to send, else many together. */
  #mayAsk() {
    const { stages, running } = this;
    if (!stages.ask.length || running.ask) return false;
    return stages.ask.length >= ASK_FROM || !(stages.batch.length + stages.large.length) || !(stages.hash.length + running.hash);
  }

  #maySendLarge() {
    const { stages, running } = this;
    const lanes = this.hasher ? LARGE : LANES;
    return stages.large.length > 0 && running.large < lanes && running.large + running.batch < LANES;
  }

  /** A full one, or what there is when nothing small is under way. */
  #maySendBatch() {
    const { stages, running } = this;
    if (!stages.batch.length || running.batch >= BATCHES || running.large + running.batch >= LANES) return false;
    const comes = stages.hash.length + running.hash + stages.ask.length + running.ask;
    return !running.batch || !comes || stages.batch.length >= BATCH_BLOBS;
  }

  #takeBatch() {
    let bytes = 0;
    return this.stages.batch.take(BATCH_BLOBS, (item) => (bytes += item.size) <= BATCH_BYTES);
  }

  /** Many together, at the end, or when one has waited long. */
  #pumpNames() {
    const { stages, running } = this;
    if (!stages.name.length || running.name) return;
    const { hash, hashLarge, ask, batch, large } = stages;
    const comes = [hash, hashLarge, ask, batch, large].some((stage) => stage.length) || Object.values(running).some(Boolean);
    const waits = NAME_MS - (performance.now() - this.namedAt);
    if (comes && !this.line.held && stages.name.length < NAMED_TOGETHER && waits > 0) {
      this.timer = setTimeout(() => this.#pump(), waits);
      return;
    }
    let characters = 0;
    const items = stages.name.take(NAMED_TOGETHER, (item) => (characters += item.path.length + this.server.above.length) <= NAMED_CHARACTERS);
    this.#run("name", () => this.#name(items));
  }

  async #run(kind, job) {
    this.running[kind] += 1;
    try {
      await job();
    } finally {
      this.running[kind] -= 1;
    }
    if (kind === "name") this.namedAt = performance.now();
    this.#pump();
  }

  // ---- hashing ----

  async #hashSmall(items) {
    const { signal } = this.abort;
    const results = await this.hasher.hashAll(items.map((item) => item.file));
    if (!signal.aborted) items.forEach((item, index) => this.#hashed(item, results[index]));
  }

  async #hashLarge(item) {
    const { signal } = this.abort;
    this.list.move(item, "checking");
    const result = await this.hasher.hash(item.file, (at) => (item.done = at), signal);
    if (signal.aborted) return;
    this.list.move(item, "waiting");
    this.#hashed(item, result);
  }

  #hashed(item, { digest, error }) {
    if (error) return this.list.end(item, "failed", LOCK);
    this.list.checked += 1;
    item.digest = digest;
    return this.#place(item);
  }

  /** Of files with the same bytes one is sent; the others wait for it. */
  #place(item) {
    const there = this.blobs.get(item.digest);
    if (there === THERE) return this.#arrived(item, true);
    if (there) return there.push(item);
    this.blobs.set(item.digest, []);
    return this.stages.ask.push(item);
  }

  // ---- asking ----

  async #ask(items) {
    const { signal } = this.abort;
    const outcome = await this.line.run(() => this.server.missing(items.map((item) => item.digest), signal), { signal });
    if (outcome.kind === "aborted") return;
    for (const item of items) {
      if (outcome.kind !== "ok") this.#gaveUp(item, outcome.reason);
      else if (!outcome.missing.has(item.digest)) this.#blobIsThere(item, true);
      else this.#send(item);
    }
  }

  #send(item) {
    (item.size <= BATCH_BLOB_BYTES_MAX ? this.stages.batch : this.stages.large).push(item);
  }

  // ---- sending ----

  async #sendBatch(items) {
    const { signal } = this.abort;
    let blobs = await this.#read(items);
    for (const { item } of blobs) this.list.move(item, "sending");
    const outcome = await this.line.run(
      async (tries) => {
        if (tries) blobs = await this.#stillMissing(blobs, signal);
        if (!blobs.length) return { kind: "ok", arrived: new Set() };
        return this.#flyBatch(blobs, signal);
      },
      { signal },
    );
    if (outcome.kind === "aborted") return;
    const rest = blobs.map(({ item }) => item);
    blobs = []; // halves read anew
    if (outcome.kind === "ok") for (const item of rest) outcome.arrived.has(item.digest) ? this.#blobIsThere(item, false) : this.#startOver(item);
    else if (outcome.kind === "full" && rest.length > 1) await this.#sendHalves(rest);
    else for (const item of rest) this.#gaveUp(item, outcome.reason);
    if (outcome.kind === "full" && rest.length === 1) this.#holdFull(outcome);
  }

  /** The contents, without the files that cannot be read or are not what was hashed; those end here. */
  async #read(items) {
    const contents = await Promise.allSettled(items.map((item) => item.file.arrayBuffer()));
    const blobs = [];
    contents.forEach(({ value: content }, index) => {
      const item = items[index];
      if (content?.byteLength === item.size) blobs.push({ item, digest: item.digest, content });
      else this.#gaveUp(item, CHANGED);
    });
    return blobs;
  }

  async #flyBatch(blobs, signal) {
    const size = blobs.reduce((sum, { item }) => sum + item.size, 0);
    const key = {};
    const outcome = await this.server.sendBatch(blobs, (share) => this.list.fly(key, share * size), signal);
    this.list.land(key, outcome.kind === "ok" ? size : 0);
    return outcome;
  }

  /** After a connection broke: its answer may be lost, and not the bytes. */
  async #stillMissing(blobs, signal) {
    const outcome = await this.server.missing(blobs.map(({ digest }) => digest), signal);
    if (outcome.kind !== "ok") return blobs;
    return blobs.filter(({ item, digest }) => outcome.missing.has(digest) || this.#blobIsThere(item, false));
  }

  /** The account is nearly full: what still fits is sent, and the first that does not is told. */
  async #sendHalves(items) {
    const half = Math.ceil(items.length / 2);
    await this.#sendBatch(items.slice(0, half));
    const rest = items.slice(half);
    for (const item of rest) this.list.move(item, "waiting");
    if (this.line.held) this.stages.batch.unshift(rest);
    else await this.#sendBatch(rest);
  }

  #holdFull({ reason }) {
    if (this.list.running) this.line.hold("full", reason);
  }

  async #sendLarge(item) {
    const { signal } = this.abort;
    const outcome = await this.line.run((_tries, pause) => this.#flyLarge(item, signal, pause), { signal });
    if (outcome.kind === "aborted") return;
    if (outcome.kind === "ok") this.#blobIsThere(item, false);
    else if (await unreadable(item.file)) this.#gaveUp(item, CHANGED);
    else if (outcome.status === 422 || outcome.status === 460) this.#startOver(item);
    else this.#gaveUp(item, outcome.reason);
    if (outcome.kind === "full") this.#holdFull(outcome);
  }

  async #flyLarge(item, signal, pause) {
    const key = {};
    this.list.move(item, "sending");
    const progress = (bytes) => this.list.fly(key, (item.done = bytes));
    const outcome = await sendLarge(item, { csrf: this.session.csrf, tenant: this.session.tenant, progress, signal, pause });
    this.list.land(key, outcome.kind === "ok" ? item.size : 0);
    if (outcome.kind !== "ok" && !signal.aborted) this.list.move(item, "waiting");
    return outcome;
  }

  async #putWhole(item) {
    const { signal } = this.abort;
    const outcome = await this.line.run(() => this.#flyWhole(item, signal), { signal, bytes: item.size });
    if (outcome.kind === "aborted") return;
    if (outcome.kind === "ok") this.list.end(item, outcome.body.deduplicated === true ? "known" : "stored");
    else this.list.end(item, "failed", outcome.reason);
    if (outcome.kind === "full") this.#holdFull(outcome);
  }

  async #flyWhole(item, signal) {
    const key = {};
    this.list.move(item, "sending");
    const progress = (share) => this.list.fly(key, (item.done = share * item.size));
    const outcome = await putFile(this.target, item, { csrf: this.session.csrf, progress, signal });
    this.list.land(key, outcome.kind === "ok" ? item.size : 0);
    if (outcome.kind !== "ok" && !signal.aborted) this.list.move(item, "waiting");
    return outcome;
  }

  // ---- what becomes of a blob, and of those who wait for it ----

  #blobIsThere(item, known) {
    const waiting = this.blobs.get(item.digest);
    this.blobs.set(item.digest, THERE);
    this.#arrived(item, known);
    if (Array.isArray(waiting)) for (const other of waiting) this.#arrived(other, true);
  }

  #arrived(item, known) {
    item.known = known;
    this.list.move(item, "sent");
    this.stages.name.push(item);
  }

  #gaveUp(item, reason) {
    this.#nextInTurn(item);
    this.list.end(item, "failed", reason);
  }

  /** The server has other bytes than were hashed: the file changed meanwhile. */
  #startOver(item) {
    item.restarts += 1;
    if (item.restarts >= RESTARTS_MAX) return this.#gaveUp(item, "This file keeps changing. Close what writes to it, then try again.");
    this.#nextInTurn(item);
    this.list.move(item, "waiting");
    this.list.checked -= 1;
    item.digest = "";
    return this.#begin(item);
  }

  #nextInTurn(item) {
    const waiting = this.blobs.get(item.digest);
    this.blobs.delete(item.digest);
    if (!Array.isArray(waiting) || !waiting.length) return;
    const [next, ...others] = waiting;
    this.blobs.set(item.digest, others);
    this.#send(next);
  }

  // ---- naming ----

  async #name(items) {
    const { signal } = this.naming;
    const outcome = await this.line.run(() => this.server.commit(items, signal), { signal, evenPaused: true });
    if (outcome.kind === "ok") for (const item of items) this.list.end(item, item.known ? "known" : "stored");
    else if (outcome.kind === "aborted") for (const item of items) this.list.end(item, "cancelled");
    else if (outcome.body?.missing?.length) this.#sendAgain(items, new Set(outcome.body.missing));
    else if (outcome.kind === "refused" && items.length > 1) await this.#nameHalves(items);
    else for (const item of items) this.list.end(item, "failed", outcome.reason);
  }

  /** One name that the server refuses must not keep the others from theirs. */
  async #nameHalves(items) {
    const half = Math.ceil(items.length / 2);
    await this.#name(items.slice(0, half));
    await this.#name(items.slice(half));
  }

  /** The server lost what it had: an upload that was paused for longer than it keeps unnamed bytes. */
  #sendAgain(items, missing) {
    for (const digest of missing) if (this.blobs.get(digest) === THERE) this.blobs.delete(digest);
    for (const item of items) {
      if (!missing.has(item.digest)) this.stages.name.push(item);
      else if ((item.restarts += 1) >= RESTARTS_MAX) this.list.end(item, "failed", "The server did not keep this file. Try again.");
      else {
        this.list.move(item, "waiting");
        this.#place(item);
      }
    }
  }
}

function sendable(path) {
  try {
    return Boolean(encodeURIComponent(path)); // throws at half a character, which JSON cannot carry either
  } catch {
    return false;
  }
}

/** A queue whose beginning is taken without moving the rest. */
class Fifo {
  constructor() {
    this.items = [];
    this.at = 0;
  }

  get length() {
    return this.items.length - this.at;
  }

  push(item) {
    this.items.push(item);
  }

  unshift(items) {
    this.items = [...items, ...this.items.slice(this.at)];
    this.at = 0;
  }

  /** Up to `count` from the front, while `fits` says yes; always one. */
  take(count, fits = () => true) {
    const from = this.at;
    const end = Math.min(this.items.length, from + count);
    while (this.at < end && (fits(this.items[this.at]) || this.at === from)) this.at += 1;
    const taken = this.items.slice(from, this.at);
    if (this.at > 5000 && this.at * 2 > this.items.length) {
      this.items = this.items.slice(this.at);
      this.at = 0;
    }
    return taken;
  }
}
