// Choosing a folder by walking through folders. Without scripts, or where the list does not come, the path is typed.

const ITEMS_MAX = 1000;

export function watchFolderPickers() {
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-dialog]");
    const field = opener && document.getElementById(opener.dataset.dialog)?.querySelector("[data-folders]");
    if (field) new Picker(field).show(field.value);
  });
}

class Picker {
  /** @param {HTMLInputElement} field what is sent; data-folders is the address of the list, without the directory */
  constructor(field) {
    this.field = field;
    this.place = field.parentElement.querySelector(".picker") ?? this.#made();
  }

  async show(path) {
    this.field.value = path;
    let folders;
    try {
      folders = await this.#folders(path);
    } catch {
      this.place.replaceChildren(line("The folders could not be listed. Type the path instead."));
      return;
    }
    const names = path ? path.split("/") : [];
    const up = names.length ? [this.#button("↑ Up", names.slice(0, -1).join("/"))] : [];
    const here = Object.assign(document.createElement("p"), { className: "picker-here", textContent: path ? `/ ${names.join(" / ")}` : "The top" });
    const inside = folders.map((name) => this.#button(name, [...names, name].join("/")));
    this.place.replaceChildren(here, ...up, ...(inside.length ? inside : [line("No folders in here.")]));
  }

  async #folders(path) {
    const answer = await fetch(`${this.field.dataset.folders}&directory=${encodeURIComponent(path)}&limit=${ITEMS_MAX}`);
    if (!answer.ok) throw new Error(String(answer.status));
    const { entries } = await answer.json();
    return entries.filter(({ type, path_bytes: odd }) => type === "directory" && !odd).map(({ name }) => name);
  }

  #button(words, path) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "picker-folder", textContent: words });
    button.addEventListener("click", async () => {
      await this.show(path);
      this.place.querySelector("button")?.focus();
    });
    return button;
  }

  #made() {
    const place = document.createElement("div");
    place.className = "picker";
    place.setAttribute("role", "group");
    place.setAttribute("aria-label", "Folders");
    this.field.after(place);
    return place;
  }
}

function line(text) {
  return Object.assign(document.createElement("p"), { className: "muted small", textContent: text });
}
