// Where files come from: two file inputs, and whatever is dropped onto the page. Each becomes {file, path}, the path
// relative to the folder the page shows, with "/" between names.

/** The files of an input, with their sub-folders where a whole folder was chosen. */
export function filesOfInput(input) {
  return [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
}

/** Whether a drag brings files at all (and not a piece of text). */
export function bringsFiles(event) {
  return [...(event.dataTransfer?.types ?? [])].includes("Files");
}

/**
 * Everything a drop holds, folders walked to the end. Must be called inside the drop event: the items are gone after it.
 * @param {DataTransfer} transfer
 * @param {(found: number) => void} progress
 * @returns {Promise<{files: {file: File, path: string}[], unreadable: {path: string, reason: string}[]}>}
 */
export function filesOfDrop(transfer, progress) {
  const roots = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  return walk(roots.filter(Boolean), progress);
}

async function walk(roots, progress) {
  const found = { files: [], unreadable: [] };
  const folders = [];
  await take(roots, found, folders);
  while (folders.length) {
    const folder = folders.pop();
    const reader = folder.createReader();
    try {
      // readEntries gives a folder in batches (of 100 in Chromium); an empty batch is the end.
      for (let batch = await nextBatch(reader); batch.length; batch = await nextBatch(reader)) {
        await take(batch, found, folders);
        progress(found.files.length);
      }
    } catch (error) {
      found.unreadable.push({ path: relative(folder), reason: `This folder could not be read (${error.name}).` });
    }
  }
  return found;
}

async function take(entries, found, folders) {
  await Promise.all(
    entries.map(async (entry) => {
      if (entry instanceof File) found.files.push({ file: entry, path: entry.name });
      else if (entry.isDirectory) folders.push(entry);
      else {
        try {
          found.files.push({ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path: relative(entry) });
        } catch (error) {
          found.unreadable.push({ path: relative(entry), reason: `This file could not be read (${error.name}).` });
        }
      }
    }),
  );
}

function nextBatch(reader) {
  return new Promise((resolve, reject) => reader.readEntries(resolve, reject));
}

function relative(entry) {
  return entry.fullPath.replace(/^\//, "");
}
