// One request of an upload and how it ended, in one word. XMLHttpRequest, because fetch tells nothing of how far a body is.

const STALL_SECONDS = 60; // no byte moved for so long: the connection is dead, whatever the browser thinks
const ANSWER_SECONDS = 300; // the server has all bytes and makes them durable

/**
 * @typedef {object} Outcome
 * @property {"ok"|"refused"|"full"|"signed-out"|"forbidden"|"busy"|"broken"|"aborted"|"paused"} kind
 * @property {number} [status]
 * @property {object} [body] the JSON of the answer, {} where it is none
 * @property {string} [reason] a sentence for the customer
 * @property {number} [afterSeconds] busy: when the server wants to be asked again
 */

/**
 * @param {string} method @param {string} url
 * @param {{headers: object, body: Blob|string, size?: number, progress?: (share: number) => void, signal: AbortSignal}} options
 *   size: bytes of the body; progress: told which share of it (0 to 1) is out
 * @returns {Promise<Outcome>}
 */
export function request(method, url, { headers, body, size = body.size ?? body.length, progress = () => {}, signal }) {
  return new Promise((resolve) => {
    const xhr = new XMLHttpRequest();
    const watchdog = new Watchdog(() => end({ kind: "broken" }));
    const abort = () => end({ kind: "aborted" });
    const end = (outcome) => {
      watchdog.stop();
      signal.removeEventListener("abort", abort);
      xhr.onload = xhr.onerror = xhr.onabort = xhr.upload.onprogress = null;
      xhr.abort();
      resolve(outcome);
    };
    if (signal.aborted) return end({ kind: "aborted" });
    signal.addEventListener("abort", abort);
    xhr.open(method, url);
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = (event) => {
      progress(event.total ? event.loaded / event.total : 1);
      watchdog.expect(event.loaded >= event.total ? ANSWER_SECONDS : STALL_SECONDS);
    };
    xhr.onload = () => end(outcomeOf(xhr.status, xhr.responseText, xhr.getResponseHeader("Retry-After")));
    xhr.onerror = () => end({ kind: "broken" });
    xhr.onabort = () => end({ kind: "aborted" });
    watchdog.expect(size ? STALL_SECONDS : ANSWER_SECONDS);
    return xhr.send(body);
  });
}

/** Barks when nothing was expected anew for the seconds last given. */
export class Watchdog {
  constructor(bark) {
    this.bark = bark;
    this.timer = 0;
  }

  expect(seconds) {
    clearTimeout(this.timer);
    this.timer = setTimeout(this.bark, seconds * 1000);
  }

  stop() {
    clearTimeout(this.timer);
  }
}

export { ANSWER_SECONDS, STALL_SECONDS };

const AGAIN = new Set([408, 425, 429, 500, 502, 503, 504]);

/** @returns {Outcome} of an answer, whoever asked */
export function outcomeOf(status, text, retryAfterText) {
  const body = jsonOf(text);
  const reason = body.detail || body.title || `The server answered with error ${status}.`;
  if (status >= 200 && status < 300) return { kind: "ok", status, body };
  if (status === 401) return { kind: "signed-out" };
  if (status === 403) return { kind: "forbidden", status, reason };
  if (status === 507) return { kind: "full", status, reason }; // the account's space, or the server's
  if (AGAIN.has(status)) return { kind: "busy", status, reason, afterSeconds: retryAfter(retryAfterText ?? "") };
  return { kind: "refused", status, reason, body };
}

function jsonOf(text) {
  try {
    const body = JSON.parse(text);
    return typeof body === "object" && body ? body : {};
  } catch {
    return {}; // a proxy's own error page
  }
}

function retryAfter(text) {
  const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), 600) : 0;
}
