// Search as one types: the same page is asked for once typing pauses, an older answer is dropped, and the part with what was
// found is put in place. The address follows, so that it can be shared and gone back to. Arrow keys lead through what was
// found. Without scripts the form and the links do all this.

import { reveal } from "./page.js";
import { updateAll } from "./selection.js";

const PAUSE_MS = 120;
const NARROW = "(max-width: 960px)";

const form = document.querySelector("[data-search]");
const box = form.querySelector("[name=q]");
const says = document.querySelector("[data-search-says]");
let asked = new AbortController();
let pause = 0;
let shown = address();

/** The address of what the form asks: empty fields are left out, and so is the date's kind that goes without saying. */
function address() {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value && !(name === "by" && value === "taken")) query.append(name, value);
  return query.size ? `/search?${query}` : "/search";
}

async function ask(wanted) {
  asked.abort();
  asked = new AbortController();
  const own = asked;
  document.getElementById("found").setAttribute("aria-busy", "true");
  try {
    const response = await fetch(wanted, { headers: { Accept: "text/html" }, signal: own.signal, cache: "no-store" });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const found = page.getElementById("found");
    if (!found) return location.assign(wanted); // signed out, or an error that has a page of its own
    show(wanted, page, found);
  } catch (error) {
    if (own.signal.aborted) return undefined; // a newer question is on its way
    document.getElementById("found").removeAttribute("aria-busy");
    says.textContent = "The search could not be asked. Check the connection, then press Enter.";
  }
  return undefined;
}

function show(wanted, page, found) {
  document.getElementById("found").replaceWith(document.adoptNode(found));
  shown = wanted;
  history.replaceState(history.state, "", wanted);
  document.title = page.title;
  fold();
  reveal(found);
  updateAll();
  const total = found.querySelector("[data-total]")?.textContent.trim();
  says.textContent = found.querySelector("[role=alert]") ? "" : total ? `${total} found` : "Nothing found";
}

function soon() {
  clearTimeout(pause);
  pause = setTimeout(() => {
    const wanted = address();
    if (wanted !== shown) ask(wanted);
  }, PAUSE_MS);
}

/** On a narrow screen the choices stay folded until asked for, so that what was found comes first. */
function fold() {
  if (matchMedia(NARROW).matches) document.querySelector(".found-side")?.removeAttribute("open");
}

function links() {
  return [...document.querySelectorAll("#found .rows .cover")];
}

function step(event) {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!by || event.altKey || event.ctrlKey || event.metaKey) return;
  const all = links();
  const at = all.indexOf(document.activeElement);
  if (document.activeElement !== box && at < 0) return;
  if (document.activeElement === box && by < 0) return;
  event.preventDefault();
  if (at + by < 0) box.focus();
  else all[Math.min(at + by, all.length - 1)]?.focus();
}

form.addEventListener("input", soon);
form.addEventListener("change", soon);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(pause);
  ask(address());
});
document.addEventListener("keydown", (event) => {
  step(event);
  if (event.key === "Escape" && links().includes(document.activeElement)) box.focus();
});
fold();
