// The beginning of a text file, as text: whatever it says, it is never read as a page.

const BYTES_MAX = 256 * 1024;

/** Put the beginning of the file at this address into an element. @param {HTMLElement} place @param {string} address */
export async function showText(place, address) {
  place.textContent = "Loading …";
  try {
    const answer = await fetch(address, { headers: { Range: `bytes=0-${BYTES_MAX - 1}` } });
    if (!answer.ok && answer.status !== 416) throw new Error(String(answer.status));
    const bytes = answer.status === 416 ? new ArrayBuffer(0) : await answer.arrayBuffer();
    const text = decoded(new Uint8Array(bytes));
    const total = Number(answer.headers.get("Content-Range")?.split("/")[1] ?? 0);
    place.textContent = text || "This file is empty.";
    if (total > BYTES_MAX) place.append(note(`\n\n… only the first ${BYTES_MAX / 1024} KB are shown.`));
  } catch {
    place.textContent = "The text could not be loaded. Download the file to open it.";
  }
}

/** UTF-8, or UTF-16 where its mark says so. */
function decoded(bytes) {
  const mark = bytes.length > 1 ? (bytes[0] << 8) | bytes[1] : 0;
  const label = mark === 0xfffe ? "utf-16le" : mark === 0xfeff ? "utf-16be" : "utf-8";
  return new TextDecoder(label).decode(bytes);
}

function note(text) {
  return Object.assign(document.createElement("span"), { className: "muted", textContent: text });
}

export function watchTexts() {
  for (const place of document.querySelectorAll("[data-text]")) showText(place, place.dataset.text);
}
