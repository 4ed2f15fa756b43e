// How fast an upload goes, from the last seconds, and how long it will still take.

const WINDOW_SECONDS = 15;
const MANY_FILES = 100;

export class Rate {
  constructor() {
    this.samples = [];
  }

  /** Note how much is done. Times in milliseconds. */
  note(now, sentBytes, endedFiles) {
    this.samples.push({ now, sentBytes, endedFiles });
    while (this.samples.length > 2 && now - this.samples[0].now > WINDOW_SECONDS * 1000) this.samples.shift();
  }

  reset() {
    this.samples = [];
  }

  /** Bytes per second, 0 when not known. */
  get bytesPerSecond() {
    return this.#per("sentBytes");
  }

  /** Seconds to come, or null when nothing can be said. Of many small files the requests cost more than the bytes. */
  secondsLeft(bytesLeft, filesLeft) {
    const byBytes = this.bytesPerSecond ? bytesLeft / this.bytesPerSecond : null;
    const filesPerSecond = this.#per("endedFiles");
    const byFiles = filesLeft > MANY_FILES && filesPerSecond ? filesLeft / filesPerSecond : 0;
    return byBytes === null ? byFiles || null : Math.max(byBytes, byFiles);
  }

  #per(key) {
    const [first, last] = [this.samples[0], this.samples.at(-1)];
    const seconds = first ? (last.now - first.now) / 1000 : 0;
    return seconds >= 2 ? Math.max(0, (last[key] - first[key]) / seconds) : 0;
  }
}
