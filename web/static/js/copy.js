// Buttons that copy the text of another element: data-copy names its id.

/** Put text on the clipboard; false where the browser refuses. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

export function watchCopyButtons() {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    if (!(await copyText(source.textContent.trim()))) {
      getSelection().selectAllChildren(source); // the reader can copy it by hand
      return;
    }
    const use = button.querySelector("use");
    const before = use.getAttribute("href");
    use.setAttribute("href", "#i-check");
    announce("Copied");
    setTimeout(() => use.setAttribute("href", before), 1600);
  });
}

/** Say something to screen readers without moving anything. */
export function announce(text) {
  let place = document.getElementById("announcer");
  if (!place) {
    place = Object.assign(document.createElement("p"), { id: "announcer", className: "hidden" });
    place.setAttribute("role", "status");
    document.body.append(place);
  }
  place.textContent = text;
}
