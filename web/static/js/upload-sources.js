// Where files come from: two file inputs, whatever is dropped onto the page, and the handles kept of an earlier drop. Each
// file becomes {file, path}, the path relative to the folder the page shows, with "/" between names; a folder without
// anything in it becomes its path.

/**
 * @typedef {object} Found
 * @property {{file: File, path: string}[]} files
 * @property {string[]} folders the empty ones
 * @property {{path: string, reason: string}[]} unreadable
 */

/** The files of an input, with their sub-folders where a whole folder was chosen. @returns {Found} */
export function filesOfInput(input) {
  return { ...nothing(), files: [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name })) };
}

/** Whether a drag brings files at all (and not a piece of text). */
export function bringsFiles(event) {
  return [...(event.dataTransfer?.types ?? [])].includes("Files");
}

/**
 * Everything a drop holds, folders walked to the end. Must be called inside the drop event: the items are gone after it.
 * @param {DataTransfer} transfer
 * @param {(found: number) => void} progress
 * @returns {Promise<Found>}
 */
export function filesOfDrop(transfer, progress) {
  const roots = itemsOf(transfer).map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  return walk(roots.filter(Boolean), entrySource, progress);
}

/**
 * Handles to what a drop holds, with which it can be read again after a reload; [] where the browser has none. Inside the
 * drop event, as above.
 * @param {DataTransfer} transfer
 * @returns {Promise<FileSystemHandle[]>}
 */
export async function handlesOfDrop(transfer) {
  const asked = itemsOf(transfer).map((item) => item.getAsFileSystemHandle?.());
  const handles = await Promise.all(asked).catch(() => []); // a folder that the browser protects
  return handles.every(Boolean) ? handles : [];
}

/** Everything below the handles of an earlier drop. @returns {Promise<Found>} */
export function filesOfHandles(handles, progress) {
  return walk(handles.map((handle) => ({ handle, path: handle.name })), handleSource, progress);
}

/** A name for all of it: that of the one thing that was chosen, or how many files there are. */
export function nameOf({ files, folders }, words) {
  const tops = new Set([...files.map(({ path }) => path), ...folders].map((path) => path.split("/", 1)[0]));
  return tops.size === 1 ? [...tops][0] : words(files.length);
}

async function walk(roots, source, progress) {
  const found = nothing();
  const folders = [];
  await take(roots, source, found, folders);
  while (folders.length) {
    const folder = folders.pop();
    let empty = true;
    try {
      for await (const batch of source.batches(folder)) {
        empty = false;
        await take(batch, source, found, folders);
        progress(found.files.length);
      }
      if (empty) found.folders.push(source.path(folder));
    } catch (error) {
      found.unreadable.push({ path: source.path(folder), reason: `This folder could not be read (${error.name}).` });
    }
  }
  return found;
}

async function take(entries, source, found, folders) {
  await Promise.all(
    entries.map(async (entry) => {
      if (entry instanceof File) found.files.push({ file: entry, path: entry.name });
      else if (source.isFolder(entry)) folders.push(entry);
      else {
        try {
          found.files.push({ file: await source.file(entry), path: source.path(entry) });
        } catch (error) {
          found.unreadable.push({ path: source.path(entry), reason: `This file could not be read (${error.name}).` });
        }
      }
    }),
  );
}

/** Entries of a drop: https://developer.mozilla.org/docs/Web/API/FileSystemEntry */
const entrySource = {
  path: (entry) => entry.fullPath.replace(/^\//, ""),
  isFolder: (entry) => entry.isDirectory,
  file: (entry) => new Promise((resolve, reject) => entry.file(resolve, reject)),
  async *batches(folder) {
    const reader = folder.createReader();
    const next = () => new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    // readEntries gives a folder in batches (of 100 in Chromium); an empty batch is the end.
    for (let batch = await next(); batch.length; batch = await next()) yield batch;
  },
};

const HANDLES_TOGETHER = 100;

/** Handles, each with its path: https://developer.mozilla.org/docs/Web/API/FileSystemHandle */
const handleSource = {
  path: ({ path }) => path,
  isFolder: ({ handle }) => handle.kind === "directory",
  file: ({ handle }) => handle.getFile(),
  async *batches({ handle: folder, path }) {
    let batch = [];
    for await (const handle of folder.values()) {
      batch.push({ handle, path: `${path}/${handle.name}` });
      if (batch.length < HANDLES_TOGETHER) continue;
      yield batch;
      batch = [];
    }
    if (batch.length) yield batch;
  },
};

function itemsOf(transfer) {
  return [...transfer.items].filter((item) => item.kind === "file");
}

function nothing() {
  return { files: [], folders: [], unreadable: [] };
}
