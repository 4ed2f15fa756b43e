// Choosing rows of a list: all at once, a range with Shift, and a bar that says how many.

import { count } from "./format.js";

let lastBox = null;

export function watchSelections() {
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form.selection");
    if (!form) return;
    if (event.target.matches("[data-select-all]")) for (const box of boxes(form)) box.checked = event.target.checked;
    update(form);
  });
  document.addEventListener("click", (event) => {
    const box = event.target;
    if (!box.matches?.("form.selection [name=entry]")) return;
    if (event.shiftKey && lastBox?.isConnected) checkRange(boxes(box.form), lastBox, box);
    lastBox = box;
    update(box.form);
  });
  addEventListener("pageshow", updateAll);
  updateAll();
}

/** Again after content was put in, or came back from the browser's memory with boxes still checked. */
export function updateAll() {
  for (const form of document.querySelectorAll("form.selection")) update(form);
}

function boxes(form) {
  return [...form.querySelectorAll("[name=entry]")];
}

function checkRange(all, from, to) {
  const [first, last] = [all.indexOf(from), all.indexOf(to)].sort((a, b) => a - b);
  for (const box of all.slice(first, last + 1)) box.checked = to.checked;
}

function update(form) {
  const all = boxes(form);
  const chosen = all.filter((box) => box.checked).length;
  const every = form.querySelector("[data-select-all]");
  every.checked = chosen > 0 && chosen === all.length;
  every.indeterminate = chosen > 0 && chosen < all.length;
  form.classList.add("selection-scripted"); // actions show only while something is chosen
  form.classList.toggle("selection-chosen", chosen > 0);
  form.querySelector("[data-selected]").textContent = chosen ? `${count(chosen)} selected` : "Select all";
  for (const button of form.querySelectorAll("[data-for-selection]")) button.disabled = chosen === 0;
}
