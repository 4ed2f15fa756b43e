// The calls of the HTTP API that an upload is made of, one attempt each. Patience is upload-line.js's.

import { request } from "./upload-http.js";

export const BATCH_BLOB_BYTES_MAX = 1024 * 1024; // a larger one the server takes by itself only
const HEAD_BYTES = 40; // a digest and a length
const YEARS = /^(1[7-9]|2[01])\d\d$/; // what the server can keep; a file with a broken date is dated by its upload

/** @typedef {import("./upload-http.js").Outcome} Outcome */
/** @typedef {import("./upload-list.js").Item} Item */

export class Server {
  /**
   * @param {{device: string, folder: string, session: import("./session.js").Session}} place `folder`: the path of the
   *   folder that the page shows, names percent-encoded, "" for the device's root
   */
  constructor({ device, folder, session }) {
    this.manifests = `/api/v1/devices/${device}/manifests`;
    this.above = folder ? `${folder.split("/").map(decodeURIComponent).join("/")}/` : "";
    this.session = session;
  }

  /** Which of these the account has yet to send: `missing`, a Set. @param {string[]} digests at most 10,000 */
  async missing(digests, signal) {
    const outcome = await this.#json("/api/v1/blobs/missing", { digests }, signal);
    return outcome.kind === "ok" ? { ...outcome, missing: new Set(outcome.body.missing) } : outcome;
  }

  /**
   * Send small blobs in one body. With "ok": `arrived`, the Set of digests that the server has now.
   * @param {{digest: string, content: ArrayBuffer}[]} blobs @param {(share: number) => void} progress
   */
  async sendBatch(blobs, progress, signal) {
    const body = new Blob(blobs.flatMap(({ digest, content }) => [frameHead(digest, content.byteLength), content]));
    const headers = { ...this.#headers(), "Content-Type": "application/vnd.otb.blobs" };
    const outcome = await request("POST", "/api/v1/blobs", { headers, body, progress, signal });
    if (outcome.kind !== "ok") return outcome;
    return { ...outcome, arrived: new Set([...outcome.body.stored, ...outcome.body.deduplicated]) };
  }

  /** Name what was sent: all of it or nothing. @param {Item[]} items */
  commit(items, signal) {
    return this.#json(this.manifests, { entries: items.map((item) => this.#entry(item)) }, signal);
  }

  #entry({ path, folder, digest, size, file }) {
    const entry = { path: this.above + path };
    if (folder) return { ...entry, type: "directory" };
    const modified = modifiedAt(file);
    return { ...entry, type: "file", digest, size, ...(modified && { mtime: modified.toISOString() }) };
  }

  #json(url, value, signal) {
    const headers = { ...this.#headers(), "Content-Type": "application/json" };
    return request("POST", url, { headers, body: JSON.stringify(value), signal });
  }

  #headers() {
    return { "X-CSRF-Token": this.session.csrf, Accept: "application/json" };
  }
}

/** When the file was changed, or null if its date is none that the server can keep. */
export function modifiedAt(file) {
  const modified = new Date(file.lastModified);
  return YEARS.test(modified.getUTCFullYear()) ? modified : null;
}

export async function unreadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return false;
  } catch {
    return true;
  }
}

function frameHead(digest, size) {
  const head = new Uint8Array(HEAD_BYTES);
  head.set(digest.match(/../g).map((hex) => parseInt(hex, 16)));
  new DataView(head.buffer).setBigUint64(32, BigInt(size));
  return head;
}
