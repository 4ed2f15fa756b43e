// The line to the server, and its patience: what is tried again and when, and why nothing is sent at the moment. Knows
// neither files nor requests. Always holds: while it is held nothing new is tried; what the server refused is never tried
// again; what broke is tried TRIES_MAX times, unless bytes moved or the server was not there at all.

const TRIES_MAX = 7;
const WAIT_SECONDS_MAX = 60;
const LONG_WAIT_SECONDS = 60;
const LARGE_BYTES = 32 * 1024 * 1024; // a smaller body is sent before a refusal could break the connection
const NO_ROOM = "This file needs more space than your account has left. Delete files for good, or ask for more space.";
const BROKEN = "The connection broke again and again. Try again later.";

/** @typedef {import("./upload-http.js").Outcome} Outcome */

export class Line extends EventTarget {
  /** @param {import("./session.js").Session} session */
  constructor(session) {
    super();
    this.session = session;
    this.held = null; // {kind: "paused"|"signed-out"|"other-account"|"full"|"busy"|"offline"|"unreachable", text}
    this.waiting = []; // called when the hold ends
    this.pausing = new AbortController();
    this.unreached = 0; // tries in a row that met no server
  }

  hold(kind, text = "") {
    this.held = { kind, text };
    if (kind === "paused") this.pausing.abort();
    this.#changed();
  }

  resume() {
    this.held = null;
    this.pausing = new AbortController();
    for (const go of this.waiting.splice(0)) go();
    this.#changed();
  }

  /**
   * Try until there is an answer that stands: "ok", "refused", "full", "aborted" or, when all tries broke, "failed".
   * @param {(tries: number, pause: AbortSignal) => Promise<Outcome>} attempt `tries`: how many there were before. One that can
   *   be interrupted without loss watches `pause` and ends as "paused". With `moved` in its outcome the count starts anew.
   * @param {{signal: AbortSignal, evenPaused?: boolean, bytes?: number}} options `bytes` of the body, where it is one file's
   * @returns {Promise<Outcome>}
   */
  async run(attempt, { signal, evenPaused = false, bytes = 0 }) {
    for (let tries = 0, broken = 0; ; tries++) {
      await this.#open(signal, evenPaused);
      if (signal.aborted) return { kind: "aborted" };
      let outcome = await attempt(tries, this.pausing.signal);
      if (outcome.moved) broken = 0;
      if (outcome.kind === "forbidden" || outcome.kind === "broken") outcome = await this.#explain(outcome, bytes);
      if (signal.aborted) return { kind: "aborted" };
      if (outcome.kind !== "unreachable") this.unreached = 0;
      switch (outcome.kind) {
        case "paused":
        case "renewed":
          continue;
        case "busy":
          if (outcome.afterSeconds >= LONG_WAIT_SECONDS) {
            this.#holdFor("busy", outcome.reason, outcome.afterSeconds);
            continue;
          }
        // falls through
        case "broken":
          broken += 1;
          if (broken >= TRIES_MAX) return { ...outcome, kind: "failed", reason: outcome.reason || BROKEN };
          await pause(waitSeconds(broken, outcome.afterSeconds), signal);
          continue;
        case "unreachable":
          this.unreached += 1;
          this.#holdFor("unreachable", "", waitSeconds(this.unreached, 0));
          continue;
        case "signed-out":
        case "other-account":
        case "offline":
          this.hold(outcome.kind);
          continue;
        default:
          return outcome;
      }
    }
  }

  /** What is behind a refusal or a broken connection: the session, the quota, the network, the server. */
  async #explain(outcome, bytes) {
    if (outcome.kind === "broken" && !navigator.onLine) return { kind: "offline" };
    const { state, renewed, freeBytes } = await this.session.check();
    if (state === "out") return { kind: "signed-out" };
    if (state === "other") return { kind: "other-account" };
    if (outcome.kind === "forbidden") return renewed ? { kind: "renewed" } : { ...outcome, kind: "refused" };
    if (state === "unknown") return { kind: "unreachable" };
    return bytes > LARGE_BYTES && bytes > freeBytes ? { kind: "full", reason: NO_ROOM } : outcome;
  }

  async #open(signal, evenPaused) {
    while (this.held && !signal.aborted && !(evenPaused && this.held.kind === "paused"))
      await new Promise((go) => {
        this.waiting.push(go);
        signal.addEventListener("abort", go, { once: true });
      });
  }

  #holdFor(kind, text, seconds) {
    if (!this.held) this.hold(kind, text);
    setTimeout(() => this.held?.kind === kind && this.resume(), seconds * 1000);
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

function waitSeconds(tries, afterSeconds = 0) {
  return Math.max(afterSeconds, Math.min(2 ** (tries - 1), WAIT_SECONDS_MAX)) * (1 + Math.random() / 4);
}

function pause(seconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
