// How fast an upload goes, from the last seconds, and how long it will still take.

const WINDOW_SECONDS = 15;
const MANY_FILES = 100;

export class Rate {
  constructor() {
    this.samples = [];
  }

  /**
   * Note how far it is. Times in milliseconds.
   * @param {number} now
   * @param {{wireBytes: number, doneBytes: number, arrived: number}} far bytes that went over the line, bytes that need no more
   *   sending, and files that need none
   */
  note(now, { wireBytes, doneBytes, arrived }) {
    this.samples.push({ now, wireBytes, doneBytes, arrived });
    while (this.samples.length > 2 && now - this.samples[0].now > WINDOW_SECONDS * 1000) this.samples.shift();
  }

  reset() {
    this.samples = [];
  }

  /** Bytes per second over the line, 0 when not known. */
  get bytesPerSecond() {
    return this.#per("wireBytes");
  }

  /** Seconds to come, or null when nothing can be said. Of many small files the requests cost more than the bytes. */
  secondsLeft(bytesLeft, filesLeft) {
    const bytesPerSecond = this.#per("doneBytes");
    const byBytes = bytesPerSecond ? bytesLeft / bytesPerSecond : null;
    const filesPerSecond = this.#per("arrived");
    const byFiles = filesLeft > MANY_FILES && filesPerSecond ? filesLeft / filesPerSecond : 0;
    return byBytes === null ? byFiles || null : Math.max(byBytes, byFiles);
  }

  #per(key) {
    const [first, last] = [this.samples[0], this.samples.at(-1)];
    const seconds = first ? (last.now - first.now) / 1000 : 0;
    return seconds >= 2 ? Math.max(0, (last[key] - first[key]) / seconds) : 0;
  }
}
