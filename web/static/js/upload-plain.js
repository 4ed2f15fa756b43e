// One file, one PUT: how a browser sends that cannot hash. The server names the file itself.

import { modifiedAt, unreadable } from "./upload-server.js";
import { request } from "./upload-http.js";

/**
 * @param {string} target URL of the folder, without a slash at the end
 * @param {{file: File, path: string}} item
 * @param {{csrf: string, progress: (share: number) => void, signal: AbortSignal}} options
 * @returns {Promise<import("./upload-http.js").Outcome>} `body.deduplicated`: the account had these bytes already
 */
export async function putFile(target, { file, path }, { csrf, progress, signal }) {
  const url = `${target}/${path.split("/").map(encodeURIComponent).join("/")}`;
  const headers = { "X-CSRF-Token": csrf, "Content-Type": "application/octet-stream" };
  const modified = modifiedAt(file);
  if (modified) Object.assign(headers, { "Last-Modified": modified.toUTCString(), "X-OTB-Mtime": modified.toISOString() });
  const outcome = await request("PUT", url, { headers, body: file, size: file.size, progress, signal });
  if (outcome.kind === "broken" && (await unreadable(file))) return { kind: "refused", reason: CHANGED };
  return outcome;
}

export const CHANGED = "This file was changed, moved or locked since you chose it. Choose it again.";
