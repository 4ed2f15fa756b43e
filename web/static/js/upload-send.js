// One file, one PUT: sends it, watches that it moves, and says in one word how it ended.
// XMLHttpRequest, because fetch tells nothing of how far an upload is.

const STALL_SECONDS = 60; // no byte moved for so long: the connection is dead, whatever the browser thinks
const ANSWER_SECONDS = 300; // the server has all bytes and makes them durable
const YEARS = /^(1[7-9]|2[01])\d\d$/; // what the server can keep; a file with a broken date is dated by its upload

/**
 * @typedef {object} Outcome
 * @property {"stored"|"refused"|"full"|"signed-out"|"forbidden"|"busy"|"broken"|"unreadable"|"aborted"} kind
 * @property {boolean} [known] stored: the account had these bytes already
 * @property {string} [reason] a sentence for the customer
 * @property {number} [afterSeconds] busy: when the server wants to be asked again
 */

/**
 * @param {string} target URL of the folder, without a slash at the end
 * @param {{file: File, path: string}} item
 * @param {{csrf: string, progress: (sent: number) => void, signal: AbortSignal}} options
 * @returns {Promise<Outcome>}
 */
export async function send(target, item, { csrf, progress, signal }) {
  let url;
  try {
    url = `${target}/${item.path.split("/").map(encodeURIComponent).join("/")}`;
  } catch {
    return { kind: "refused", reason: "This name has characters that no browser can send. Rename the file." };
  }
  const outcome = await put(url, item.file, csrf, progress, signal);
  if (outcome.kind === "broken" && !(await readable(item.file)))
    return { kind: "unreadable", reason: "This file was changed, moved or locked since you chose it. Choose it again." };
  return outcome;
}

function put(url, file, csrf, progress, signal) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    let watchdog = 0;
    const expectMovement = (seconds) => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => end({ kind: "broken" }), seconds * 1000);
    };
    const abort = () => end({ kind: "aborted" });
    const end = (outcome) => {
      clearTimeout(watchdog);
      signal.removeEventListener("abort", abort);
      request.onload = request.onerror = request.onabort = request.upload.onprogress = null;
      request.abort();
      resolve(outcome);
    };
    signal.addEventListener("abort", abort);
    request.open("PUT", url);
    request.setRequestHeader("X-CSRF-Token", csrf);
    const modified = new Date(file.lastModified);
    if (YEARS.test(modified.getUTCFullYear())) {
      request.setRequestHeader("Last-Modified", modified.toUTCString());
      request.setRequestHeader("X-OTB-Mtime", modified.toISOString()); // the same, to the millisecond
    }
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => {
      progress(event.loaded);
      expectMovement(event.loaded >= file.size ? ANSWER_SECONDS : STALL_SECONDS);
    };
    request.onload = () => end(outcomeOf(request));
    request.onerror = () => end({ kind: "broken" });
    request.onabort = () => end({ kind: "aborted" });
    expectMovement(file.size ? STALL_SECONDS : ANSWER_SECONDS);
    request.send(file);
  });
}

function outcomeOf(request) {
  const body = jsonOf(request);
  const { status } = request;
  const reason = body.detail || body.title || `The server answered with error ${status}.`;
  if (status === 200 || status === 201) return { kind: "stored", known: body.deduplicated === true };
  if (status === 401) return { kind: "signed-out" };
  if (status === 403) return { kind: "forbidden", reason };
  if (status === 507) return { kind: "full", reason }; // the account's space, or the server's
  if (status === 502 || status === 503 || status === 504) return { kind: "busy", reason, afterSeconds: retryAfter(request) };
  return { kind: "refused", reason };
}

function jsonOf(request) {
  try {
    const body = JSON.parse(request.responseText);
    return typeof body === "object" && body ? body : {};
  } catch {
    return {}; // a proxy's own error page
  }
}

function retryAfter(request) {
  const text = request.getResponseHeader("Retry-After") ?? "";
  const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), 600) : 0;
}

async function readable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}
