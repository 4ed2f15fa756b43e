// Choosing rows of a list: one by one, a range with Shift, all that is shown, or all that the folder holds. What was chosen
// stays chosen when its row leaves the page because the list scrolled on, and goes along when the form is sent.

import { count } from "./format.js";

const chosenOf = new WeakMap(); // form → Set of ids
let lastBox = null;

export function watchSelections() {
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form.selection");
    if (!form) return;
    if (event.target.matches("[data-select-all]")) for (const box of boxes(form)) choose(box, event.target.checked);
    if (event.target.matches("[name=entry]")) note(event.target);
    if (!event.target.matches("[data-everything]")) everything(form, false);
    update(form);
  });
  document.addEventListener("click", (event) => {
    const box = event.target;
    if (!box.matches?.("form.selection [name=entry]")) return;
    if (event.shiftKey && lastBox?.isConnected) checkRange(boxes(box.form), lastBox, box);
    lastBox = box;
    update(box.form);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-choose-everything], [data-choose-nothing]");
    if (!button) return;
    const form = button.closest("form.selection");
    if (button.matches("[data-choose-everything]")) everything(form, true);
    else clear(form);
    update(form);
  });
  document.addEventListener("keydown", (event) => {
    const form = event.target.closest?.("form.selection");
    if (form && !event.target.closest("dialog")) keys(event, form); // a dialog in the form has keys of its own
  });
  document.addEventListener("formdata", (event) => {
    if (!event.target.matches("form.selection")) return;
    const { target: form, formData } = event;
    const shown = new Set(formData.getAll("entry"));
    if (formData.get("all")) {
      formData.delete("entry");
      for (const name of ["device", "area", "directory"]) formData.append(name, formData.get(`in_${name}`)); // for a zip of it
    } else for (const id of chosen(form)) if (!shown.has(id)) formData.append("entry", id);
  });
  addEventListener("pageshow", updateAll);
  updateAll();
}

/** Again after content was put in, or came back from the browser's memory with boxes still checked. */
export function updateAll() {
  for (const form of document.querySelectorAll("form.selection")) {
    const known = chosen(form);
    for (const box of boxes(form)) {
      if (known.has(box.value)) box.checked = true;
      else if (box.checked) known.add(box.value);
    }
    update(form);
  }
}

/** The ids that are chosen. @returns {Set<string>} */
export function chosen(form) {
  if (!chosenOf.has(form)) chosenOf.set(form, new Set());
  return chosenOf.get(form);
}

/** Choose nothing any more. */
export function clear(form) {
  chosen(form).clear();
  for (const box of boxes(form)) box.checked = false;
  everything(form, false);
}

function keys(event, form) {
  const row = event.target.closest(".row");
  const typed = event.ctrlKey || event.metaKey || event.altKey ? "" : event.key;
  if (typed === "Escape" && chosen(form).size) {
    clear(form);
    update(form);
  } else if (typed === "x" && row) {
    const box = row.querySelector("[name=entry]");
    choose(box, !box.checked);
    update(form);
  } else if ((typed === "ArrowDown" || typed === "ArrowUp") && row) {
    const links = [...form.querySelectorAll(".row .cover")];
    const next = links[links.indexOf(row.querySelector(".cover")) + (typed === "ArrowDown" ? 1 : -1)];
    if (!next) return;
    next.focus();
  } else return;
  event.preventDefault();
}

function boxes(form) {
  return [...form.querySelectorAll("[name=entry]")];
}

function choose(box, is) {
  box.checked = is;
  note(box);
}

function note(box) {
  if (box.checked) chosen(box.form).add(box.value);
  else chosen(box.form).delete(box.value);
}

function checkRange(all, from, to) {
  const [first, last] = [all.indexOf(from), all.indexOf(to)].sort((a, b) => a - b);
  for (const box of all.slice(first, last + 1)) choose(box, to.checked);
}

/** All that the folder holds, shown or not: the server finds them. */
function everything(form, is) {
  const field = form.querySelector("[name=all]");
  if (!field) return;
  field.disabled = !is;
  if (is) for (const box of boxes(form)) choose(box, true);
}

function update(form) {
  const all = boxes(form);
  const number = chosen(form).size;
  const field = form.querySelector("[name=all]");
  const isEverything = Boolean(field && !field.disabled);
  const every = form.querySelector("[data-select-all]");
  const here = all.filter((box) => box.checked).length;
  every.checked = here > 0 && here === all.length;
  every.indeterminate = number > 0 && !every.checked;
  form.classList.add("selection-scripted"); // actions show only while something is chosen
  form.classList.toggle("selection-chosen", number > 0);
  const words = isEverything ? "Everything selected" : number ? `${count(number)} selected` : "Select all";
  form.querySelector("[data-selected]").textContent = words;
  for (const button of form.querySelectorAll("[data-for-selection]")) button.disabled = number === 0;
  const more = form.querySelector("[data-choose-everything]");
  if (more) more.hidden = !every.checked || isEverything || !document.querySelector("[data-more-pages]");
}
