// The page's side of the hashing Worker (web/browser/hasher.js).

const READY_MS_MAX = 10_000; // a Worker that a browser's policy forbids may stay silent for ever

export class Hasher {
  /** @param {string} url of the Worker's script */
  constructor(url) {
    this.url = url;
    this.requests = new Map(); // id → {resolve, progress}
    this.worker = null;
    this.next = 0;
  }

  /** Whether this browser can hash here: it has Workers and WebAssembly, and they run. */
  async start() {
    if (typeof Worker !== "function") return false;
    try {
      this.worker = new Worker(this.url, { type: "module" });
    } catch {
      return false; // forbidden by the browser's settings
    }
    const works = await new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), READY_MS_MAX);
      const tell = (works) => (clearTimeout(timer), resolve(works));
      this.worker.onerror = (event) => (event.preventDefault(), tell(false));
      this.worker.onmessage = ({ data }) => tell(data.ready === true);
    });
    if (!works) {
      this.worker.terminate();
      return false;
    }
    this.worker.onmessage = ({ data }) => this.#hear(data);
    this.worker.onerror = (event) => (event.preventDefault(), this.#fail());
    return true;
  }

  /** @param {File[]} files small ones @returns {Promise<{digest?: string, error?: string}[]>} */
  hashAll(files) {
    return this.#ask({ files }, () => {}, files.length);
  }

  /** @param {File} file @param {(bytes: number) => void} progress @param {AbortSignal} signal */
  async hash(file, progress, signal) {
    const id = this.next;
    const cancel = () => this.worker.postMessage({ cancel: id });
    signal.addEventListener("abort", cancel);
    const [result] = await this.#ask({ file }, progress, 1);
    signal.removeEventListener("abort", cancel);
    return result;
  }

  #ask(message, progress, count) {
    const id = this.next++;
    return new Promise((resolve) => {
      this.requests.set(id, { resolve, progress, count });
      this.worker.postMessage({ id, ...message });
    });
  }

  #hear({ id, at, results }) {
    const request = this.requests.get(id);
    if (at !== undefined) return request.progress(at);
    this.requests.delete(id);
    return request.resolve(results);
  }

  /** The Worker itself broke (no memory): what it was asked fails, and can be tried again. */
  #fail() {
    for (const { resolve, count } of this.requests.values()) resolve(Array.from({ length: count }, () => ({ error: "WorkerError" })));
    this.requests.clear();
  }
}
