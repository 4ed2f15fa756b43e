// A long list, page by page as it is scrolled: the next page comes before the end of the last is reached, and pages far out
// of sight are emptied, so that a folder of 100,000 files never fills the memory. Without scripts the pages are links.

import { announce } from "./copy.js";
import { reveal } from "./page.js";
import { updateAll } from "./selection.js";

const AHEAD = "1200px"; // when a page is fetched
const KEPT = "4000px"; // how far away one is emptied

const emptier = new IntersectionObserver(
  (seen) => {
    for (const { target, isIntersecting } of seen) {
      if (isIntersecting) fill(target);
      else empty(target);
    }
  },
  { rootMargin: KEPT },
);

const ender = new IntersectionObserver((seen) => seen.some((end) => end.isIntersecting) && append(seen[0].target), {
  rootMargin: AHEAD,
});

/** Watch the list of this page, if it has one that goes on. Again whenever content was put in. */
export function watchPages() {
  const list = document.querySelector("[data-pages] .rows:not([data-address])");
  const link = document.querySelector("[data-more-pages]");
  if (!list || !link) return;
  list.dataset.address = location.href;
  emptier.observe(list);
  ender.observe(link);
}

async function append(link) {
  if (link.dataset.loading) return;
  link.dataset.loading = "";
  const page = await fetched(link.href);
  if (!page) return delete link.dataset.loading; // the link still leads there
  const rows = page.querySelector("[data-pages] .rows");
  if (!rows) return end(link);
  const list = document.importNode(rows, true);
  list.dataset.address = link.href;
  document.querySelector("[data-pages]").append(list);
  emptier.observe(list);
  const following = page.querySelector("[data-more-pages]");
  announce(`${document.querySelectorAll("[data-pages] .row").length} items shown`);
  if (following) {
    link.href = following.href;
    delete link.dataset.loading;
    ender.unobserve(link);
    ender.observe(link); // it may still be in sight
  } else end(link);
  reveal(list);
  return updateAll();
}

function end(link) {
  ender.unobserve(link);
  link.closest(".pager").remove();
}

function empty(list) {
  if (!list.childElementCount || list.contains(document.activeElement)) return;
  list.style.height = `${list.offsetHeight}px`;
  list.replaceChildren();
}

async function fill(list) {
  if (list.childElementCount || list.dataset.loading) return;
  list.dataset.loading = "";
  const page = await fetched(list.dataset.address);
  delete list.dataset.loading;
  const rows = page?.querySelector("[data-pages] .rows");
  if (!rows) return;
  list.replaceChildren(...document.importNode(rows, true).childNodes);
  list.style.height = "";
  reveal(list);
  updateAll();
}

async function fetched(address) {
  try {
    const response = await fetch(address, { headers: { Accept: "text/html" }, cache: "no-store" });
    return response.ok ? new DOMParser().parseFromString(await response.text(), "text/html") : null;
  } catch {
    return null; // offline
  }
}
