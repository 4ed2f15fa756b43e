// The session behind the page: whether it still stands, and its CSRF token. An upload may outlive a session; it must never
// go on in another account that somebody signed in to meanwhile.

export class Session {
  /** @param {string} tenant the account this page belongs to */
  constructor(tenant) {
    this.tenant = tenant;
    this.csrf = document.querySelector("meta[name=csrf-token]").content;
  }

  /**
   * Ask the server who is signed in now.
   * @returns {Promise<{state: "same"|"other"|"out"|"unknown", renewed?: boolean, freeBytes?: number}>}
   */
  async check() {
    let answer;
    try {
      const response = await fetch("/api/v1/me", { headers: { Accept: "application/json" }, cache: "no-store" });
      if (response.status === 401) return { state: "out" };
      if (!response.ok) return { state: "unknown" };
      answer = await response.json();
    } catch {
      return { state: "unknown" };
    }
    if (String(answer.tenant?.id) !== this.tenant) return { state: "other" };
    const renewed = answer.csrf_token !== this.csrf;
    this.csrf = answer.csrf_token;
    return { state: "same", renewed, freeBytes: freeBytes(answer) };
  }
}

function freeBytes({ usage }) {
  return usage ? usage.quota_bytes - usage.used_bytes : undefined;
}
