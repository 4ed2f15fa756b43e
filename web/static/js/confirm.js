// A question before something is done: `ask` for scripts, and data-confirm on a form or on one of its buttons.

/**
 * Ask in a dialog; true when the answer is yes. Escape and Cancel mean no, and focus returns to where it was.
 * @param {{title: string, text?: string, action: string, keep?: string, danger?: boolean, option?: HTMLElement}} question
 *   option: something to decide along with it, shown between the words and the buttons.
 * @returns {Promise<boolean>}
 */
export function ask({ title, text = "", action, keep = "Cancel", danger = true, option = null }) {
  const dialog = document.createElement("dialog");
  const heading = Object.assign(document.createElement("h2"), { textContent: title, id: "dialog-title" });
  const words = Object.assign(document.createElement("p"), { textContent: text });
  const actions = Object.assign(document.createElement("div"), { className: "dialog-actions" });
  const no = Object.assign(document.createElement("button"), { type: "button", className: "button", textContent: keep });
  const yes = Object.assign(document.createElement("button"), { type: "button", textContent: action });
  yes.className = danger ? "button button-danger-main" : "button button-main";
  dialog.setAttribute("aria-labelledby", heading.id);
  actions.append(no, yes);
  dialog.append(...[heading, words, option, actions].filter(Boolean));
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes");
      dialog.remove();
    });
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close("no"));
    no.addEventListener("click", () => dialog.close("no"));
    yes.addEventListener("click", () => dialog.close("yes"));
    dialog.showModal();
    no.focus();
  });
}

/** A box to tick in the question, with its words; nothing where there are none. */
function choice(words) {
  if (!words) return [null, null];
  const box = Object.assign(document.createElement("input"), { type: "checkbox" });
  const label = Object.assign(document.createElement("label"), { className: "dialog-option" });
  label.append(box, words);
  return [label, box];
}

/** The form says what was chosen; an earlier choice is forgotten. */
function setField(form, name, value) {
  if (!name) return;
  form.querySelector(`input[type=hidden][name="${name}"]`)?.remove();
  if (value) form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
}

export function watchConfirmations() {
  const agreed = new WeakSet();
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    const asking = event.submitter?.dataset.confirm ? event.submitter : form.dataset.confirm ? form : null;
    if (!asking || agreed.delete(form)) return;
    event.preventDefault();
    const { confirm: title, confirmText: text, confirmAction: action } = asking.dataset;
    const [option, box] = choice(asking.dataset.confirmOption);
    if (!(await ask({ title, text, action, option }))) return;
    setField(form, asking.dataset.confirmField, box?.checked ? asking.dataset.confirmValue : "");
    agreed.add(form);
    form.requestSubmit(event.submitter);
  });
}
