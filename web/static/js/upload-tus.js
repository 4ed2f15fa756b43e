// Large files: tus 1.0 by tus-js-client, so that a broken connection or a reloaded page costs no more than what was under
// way. An upload is found again by the digest of its file, not by its name: the same bytes dropped anew go on where they were.

import { ANSWER_SECONDS, outcomeOf, STALL_SECONDS, Watchdog } from "./upload-http.js";

const ENDPOINT = "/api/v1/uploads";
const CHUNK_BYTES = 64 * 1024 * 1024; // proxies limit bodies
const AT_ONCE_BYTES = 8 * 1024 * 1024; // up to here one request creates and sends; going on with it would save nothing
const PREFIX = "otb-upload:";
const KEPT_DAYS = 7; // longer than the server keeps an upload that stands still

/**
 * One attempt.
 * @param {import("./upload-list.js").Item} item hashed
 * @param {{csrf: string, tenant: string, progress: (bytes: number) => void, signal: AbortSignal, pause: AbortSignal}} options
 * @returns {Promise<import("./upload-http.js").Outcome & {moved?: boolean}>} "ok": the account has the bytes
 */
export async function sendLarge(item, { csrf, tenant, progress, signal, pause }) {
  let Upload;
  try {
    ({ Upload } = await import("/static/built/tus.js"));
  } catch {
    return { kind: "broken" }; // the page's scripts come over the same line
  }
  return new Promise((resolve) => {
    const places = new Places();
    if (signal.aborted) return resolve({ kind: "aborted" });
    if (pause.aborted) return resolve({ kind: "paused" });
    let moved = false;
    const end = (outcome) => {
      watchdog.stop();
      signal.removeEventListener("abort", abort);
      pause.removeEventListener("abort", rest);
      resolve({ ...outcome, moved });
    };
    const watchdog = new Watchdog(() => upload.abort().finally(() => end({ kind: "broken" })));
    const abort = () => upload.abort(true).catch(() => {}).finally(() => end({ kind: "aborted" }));
    const rest = () => upload.abort().finally(() => end({ kind: "paused" }));
    const upload = new Upload(item.file, {
      endpoint: ENDPOINT,
      headers: { "X-CSRF-Token": csrf },
      metadata: { digest: item.digest },
      chunkSize: CHUNK_BYTES,
      uploadDataDuringCreation: item.size <= AT_ONCE_BYTES,
      retryDelays: null,
      storeFingerprintForResuming: item.size > AT_ONCE_BYTES,
      removeFingerprintOnSuccess: true,
      fingerprint: async () => `${PREFIX}${tenant}:${item.digest}`,
      urlStorage: places,
      onAfterResponse: (_request, response) => {
        places.status = response.getStatus();
        const offset = Number(response.getHeader("Upload-Offset") ?? 0);
        moved ||= offset > item.offset;
        item.offset = Math.max(item.offset, offset);
      },
      onProgress: (sent, total) => {
        progress(sent);
        watchdog.expect(sent >= total ? ANSWER_SECONDS : STALL_SECONDS);
      },
      onSuccess: () => end({ kind: "ok" }),
      onError: (error) => end(outcomeOfError(error)),
    });
    signal.addEventListener("abort", abort);
    if (item.size > AT_ONCE_BYTES) pause.addEventListener("abort", rest);
    watchdog.expect(STALL_SECONDS);
    return start(upload, item.size > AT_ONCE_BYTES, [signal, pause]);
  });
}

async function start(upload, mayGoOn, signals) {
  const [previous] = mayGoOn ? await upload.findPreviousUploads() : [];
  if (signals.some((signal) => signal.aborted)) return;
  if (previous) upload.resumeFromPreviousUpload(previous);
  upload.start();
}

function outcomeOfError(error) {
  const response = error.originalResponse;
  if (!response || !response.getStatus()) return { kind: "broken" };
  const status = response.getStatus();
  // Somebody else's request holds the upload, or moved it on: the next attempt asks where it stands.
  if (status === 409 || status === 423) return { kind: "busy", status, reason: "Another upload of this file is under way.", afterSeconds: 1 };
  return outcomeOf(status, response.getBody(), response.getHeader("Retry-After"));
}

/** Where uploads stand, in localStorage, as tus-js-client's UrlStorage. One that cannot store loses only the going on. */
class Places {
  constructor() {
    this.status = 0; // of the last answer
  }

  async findUploadsByFingerprint(fingerprint) {
    const found = read(fingerprint);
    return found ? [found] : [];
  }

  async addUpload(fingerprint, upload) {
    forgetOld();
    try {
      localStorage.setItem(fingerprint, JSON.stringify({ ...upload, urlStorageKey: fingerprint, at: Date.now() }));
    } catch {
      return undefined; // no room, or not allowed
    }
    return fingerprint;
  }

  /** The client also forgets an upload whose server asks to sign in; that one will be gone on with. */
  async removeUpload(fingerprint) {
    if (this.status !== 401 && this.status !== 403) localStorage.removeItem(fingerprint);
  }
}

function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null;
  }
}

function forgetOld() {
  const keys = Array.from({ length: localStorage.length }, (_, index) => localStorage.key(index));
  for (const key of keys) {
    if (!key?.startsWith(PREFIX)) continue;
    const at = read(key)?.at ?? 0;
    if (Date.now() - at > KEPT_DAYS * 86_400_000) localStorage.removeItem(key);
  }
}
