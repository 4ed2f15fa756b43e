// What every page has once scripts run. All of it listens on the document, so that it also holds for content put in later;
// without scripts each of these is a plain link, form or button.

import { watchConfirmations } from "./confirm.js";
import { watchCopyButtons } from "./copy.js";
import { watchFolderPickers } from "./folder-picker.js";
import { watchPages } from "./pages-of-list.js";
import { watchSelections } from "./selection.js";
import { watchTexts } from "./text-preview.js";
import { watchThumbnails } from "./thumbnails.js";
import { watchViewer } from "./viewer.js";

/** Show what only scripts can do, hide what they make needless. Again whenever content was put in. */
export function reveal(root = document) {
  for (const element of root.querySelectorAll(".needs-script, [data-copy]")) element.hidden = false;
  for (const element of root.querySelectorAll("[data-hide-with-script]")) element.hidden = true;
  watchThumbnails(root);
  watchPages();
}

function watchMenus() {
  const closeAll = (except) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) if (menu !== except) menu.open = false;
  };
  document.addEventListener("click", (event) => closeAll(event.target.closest("details.menu")));
  document.addEventListener("keydown", (event) => {
    const menu = document.querySelector("details.menu[open]");
    if (event.key !== "Escape" || !menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}

/** data-dialog on a button opens the dialog of that id; its data-dialog-close closes it. Without scripts it is a section. */
function watchDialogs() {
  for (const dialog of document.querySelectorAll("dialog[data-with-script]")) {
    dialog.removeAttribute("open");
    if ("open" in dialog.dataset) dialog.showModal();
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-dialog]");
    if (button) document.getElementById(button.dataset.dialog).showModal();
    if (event.target.closest("[data-dialog-close]") || event.target.matches("dialog[data-with-script]"))
      event.target.closest("dialog").close();
  });
}

function watchSelectsThatSubmit() {
  document.addEventListener("change", (event) => {
    if (event.target.matches("select[data-submit]")) event.target.form.requestSubmit();
  });
}

/** The key "/" goes to the search field, as in many libraries of files. */
function watchSearchKey() {
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, dialog")) return;
    const field = document.querySelector("#q, #top-q");
    if (!field || !field.offsetParent) return;
    event.preventDefault();
    field.focus();
    field.select();
  });
}

/** A picture or film that this browser cannot show says so, instead of a broken sign. */
function watchPreviews() {
  const replace = (media) => {
    const words = document.createElement("p");
    words.className = "preview-gone";
    words.textContent = "This browser cannot show this file. Download it to open it.";
    media.replaceWith(words);
  };
  for (const media of document.querySelectorAll(".preview > :is(img, video, audio)")) {
    if (media.error || (media.complete && media.naturalWidth === 0)) replace(media);
    else media.addEventListener("error", () => replace(media));
  }
}

/** On a phone, filters stay folded until asked for, so that the results come first. */
function foldFilters() {
  if (!matchMedia("(max-width: 760px)").matches) return;
  for (const fold of document.querySelectorAll(".filter-fold")) fold.open = false;
}

watchConfirmations();
watchCopyButtons();
watchSelections();
watchDialogs();
watchFolderPickers();
watchViewer();
watchTexts();
watchMenus();
watchSelectsThatSubmit();
watchSearchKey();
watchPreviews();
foldFilters();
reveal();
