// A Worker that hashes files with BLAKE3 (WebAssembly, from hash-wasm). Never holds more than SMALL_BYTES_AT_ONCE of small
// files or two pieces of a large one.
//
// In:  {id, files: [File…]}  each at most a few MiB: read and hashed side by side
//      {id, file: File}      any size: hashed piece by piece
//      {cancel: id}          a `file` that is no longer wanted
// Out: {ready: true} once the WebAssembly runs, or {broken: words} where it cannot
//      {id, at: bytes}       how far a large file is
//      {id, results: [{digest: hex} | {error: name of the DOMException}…]}

import { createBLAKE3 } from "hash-wasm";

const PIECE_BYTES = 4 * 1024 * 1024;
const SMALL_BYTES_AT_ONCE = 16 * 1024 * 1024;

const cancelled = new Set();
let turn = Promise.resolve(); // one request after the other: there is one hasher

const blake3 = await createBLAKE3().catch((error) => {
  postMessage({ broken: String(error) });
  return null;
});

if (blake3) {
  addEventListener("message", ({ data }) => {
    if (data.cancel !== undefined) cancelled.add(data.cancel);
    else turn = turn.then(() => answer(data));
  });
  postMessage({ ready: true });
}

async function answer({ id, file, files }) {
  const results = files ? await hashSmall(files) : [await hashLarge(id, file)];
  cancelled.delete(id);
  postMessage({ id, results });
}

async function hashSmall(files) {
  const results = [];
  for (let from = 0; from < files.length; ) {
    let to = from;
    for (let bytes = 0; to < files.length && (to === from || bytes + files[to].size <= SMALL_BYTES_AT_ONCE); to++)
      bytes += files[to].size;
    const contents = await Promise.allSettled(files.slice(from, to).map((file) => file.arrayBuffer()));
    for (const { value, reason } of contents)
      results.push(value ? { digest: blake3.init().update(new Uint8Array(value)).digest() } : { error: reason.name });
    from = to;
  }
  return results;
}

async function hashLarge(id, file) {
  blake3.init();
  let next = pieceAt(file, 0);
  try {
    for (let at = 0; at < file.size; at += PIECE_BYTES) {
      const piece = await next;
      next = pieceAt(file, at + PIECE_BYTES); // read while this one is hashed
      next.catch(() => {}); // told when it is awaited
      if (cancelled.has(id)) return { error: "AbortError" };
      blake3.update(new Uint8Array(piece));
      postMessage({ id, at: Math.min(at + PIECE_BYTES, file.size) });
    }
    await next;
  } catch (error) {
    return { error: error.name };
  }
  return { digest: blake3.digest() };
}

function pieceAt(file, at) {
  return file.slice(at, at + PIECE_BYTES).arrayBuffer();
}
