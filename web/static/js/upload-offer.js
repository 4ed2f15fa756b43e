// The offer, at the top of a folder's page, to go on with an upload into it that did not end.

import { plural } from "./format.js";
import { left, mayRead } from "./upload-memory.js";

export class Offer {
  /**
   * @param {HTMLElement} root
   * @param {import("./upload-memory.js").Memory} memory
   * @param {(drop: import("./upload-memory.js").Drop) => void} goOn called when the files can be read
   */
  constructor(root, memory, goOn) {
    this.template = root.querySelector("[data-offer]");
    this.memory = memory;
    this.goOn = goOn;
  }

  async show() {
    const drops = await this.memory.unfinished();
    this.hide();
    const main = document.getElementById("content");
    main.querySelector(".page-head").after(...drops.map((drop) => this.#callout(drop)));
  }

  hide() {
    for (const callout of document.querySelectorAll(".upload-offer")) callout.remove();
  }

  #callout(drop) {
    const callout = this.template.content.firstElementChild.cloneNode(true);
    const part = (name) => callout.querySelector(`[data-offer-${name}]`);
    const words = `The upload of “${drop.name}” has not ended: ${plural(left(drop), "file", "files")} of ${drop.total.toLocaleString("en")} left.`;
    const again = "Choose or drop the same again; only the rest is sent.";
    part("text").textContent = drop.handles.length ? words : `${words} ${again}`;
    part("go").hidden = !drop.handles.length;
    part("go").textContent = `Continue the upload of ${drop.name}`;
    part("go").addEventListener("click", async () => {
      if (await mayRead(drop.handles)) {
        callout.remove();
        return this.goOn(drop);
      }
      part("text").textContent = `${words} The browser may not read it without your permission. ${again}`;
      return undefined;
    });
    part("forget").addEventListener("click", async () => {
      await this.memory.forget(drop);
      callout.remove();
    });
    return callout;
  }
}
