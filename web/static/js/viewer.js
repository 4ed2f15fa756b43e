// Looking at files in place: a picture, a film, sound, a document or text over the page, with the one before and the one
// after. Keys: arrows, Home, End, Escape; on a phone a swipe. Content is shown as media or as text, never as a page.

import { showText } from "./text-preview.js";

const SWIPE_PX = 60;
const ASKED_MAX = 10; // of a preview that is being made
const WAIT_SECONDS_MAX = 15;

let dialog = null;
let links = []; // of the list, in its order
let at = 0;
let opener = null;
let turn = 0; // counts what is shown, so that a late answer is not put into the wrong place

export function watchViewer() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-view]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    open(link);
  });
}

function open(link) {
  dialog ??= made();
  opener = link;
  links = [...document.querySelectorAll("a[data-view]")];
  at = links.indexOf(link);
  if (!dialog.open) dialog.showModal();
  document.documentElement.classList.add("viewing");
  show();
  part("close").focus();
}

function made() {
  const box = document.getElementById("viewer").content.firstElementChild.cloneNode(true);
  document.body.append(box);
  box.addEventListener("close", closed);
  box.addEventListener("click", (event) => {
    const act = event.target.closest("[data-viewer]")?.dataset.viewer;
    if (act === "close" || event.target === box || event.target.matches(".viewer-stage")) box.close();
    if (act === "previous") step(-1);
    if (act === "next") step(1);
  });
  box.addEventListener("keydown", keys);
  watchSwipes(box.querySelector(".viewer-stage"));
  return box;
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("video, audio, pre")) return;
  const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -at, End: links.length - 1 - at };
  if (!(event.key in steps)) return;
  event.preventDefault();
  step(steps[event.key]);
}

function watchSwipes(stage) {
  let from = null;
  stage.addEventListener("pointerdown", (event) => {
    from = event.pointerType === "touch" && event.isPrimary ? event : null;
  });
  stage.addEventListener("pointerup", (event) => {
    if (!from || !event.isPrimary) return;
    const [across, down] = [event.clientX - from.clientX, event.clientY - from.clientY];
    from = null;
    if (Math.abs(across) > SWIPE_PX && Math.abs(across) > 2 * Math.abs(down)) step(across > 0 ? -1 : 1);
  });
  stage.addEventListener("pointercancel", () => (from = null));
}

function step(by) {
  const to = at + by;
  if (to < 0 || to >= links.length || !by) return;
  at = to;
  show();
}

function closed() {
  turn += 1;
  part("body").replaceChildren(); // stops what plays
  document.documentElement.classList.remove("viewing");
  const link = links[at];
  (link?.isConnected ? link : opener)?.focus();
}

function show() {
  const link = links[at];
  const { view, entry } = link.dataset;
  const name = link.textContent.trim();
  turn += 1;
  part("name").textContent = name;
  part("place").textContent = links.length > 1 ? `${(at + 1).toLocaleString("en")} of ${links.length.toLocaleString("en")}` : "";
  part("page").href = link.href;
  part("download").href = `/api/v1/entries/${entry}/content`;
  part("previous").disabled = at === 0;
  part("next").disabled = at === links.length - 1;
  part("body").replaceChildren();
  link.scrollIntoView({ block: "nearest" });
  if (view === "image") showImage(entry, name);
  else if (view === "video" || view === "audio") showMedia(view, entry, name);
  else if (view === "text") showWords(entry, name);
  else if (view === "made") showMade(entry, name);
  else say("There is no preview of this kind of file. Download it to open it.");
}

function showImage(entry, name) {
  const image = element("img", { alt: name, decoding: "async" });
  image.addEventListener("error", () => image.isConnected && showMade(entry, name), { once: true });
  image.src = `/api/v1/entries/${entry}/content?inline=1`;
  put(image);
}

function showMedia(kind, entry, name) {
  const media = element(kind, { controls: true, autoplay: true, preload: "metadata" });
  media.setAttribute("aria-label", name);
  media.setAttribute("playsinline", "");
  media.addEventListener("error", () => media.isConnected && say("This browser cannot play this file. Download it to open it."));
  media.src = `/api/v1/entries/${entry}/content?inline=1`;
  put(media);
}

async function showWords(entry, name) {
  const words = element("pre", { tabIndex: 0 });
  words.setAttribute("aria-label", name);
  words.setAttribute("role", "region");
  put(words);
  await showText(words, `/api/v1/entries/${entry}/content`);
}

/** What the server makes of a document or of a picture that browsers do not know: a picture, or its text. */
async function showMade(entry, name) {
  const mine = turn;
  const address = `/api/v1/entries/${entry}/preview?quiet=1`;
  say("The preview is being made …");
  for (let asked = 1; asked <= ASKED_MAX; asked++) {
    let answer;
    try {
      answer = await fetch(address);
    } catch {
      answer = null;
    }
    if (mine !== turn) return undefined;
    if (answer?.status === 200) return putMade(answer, address, name);
    if (answer?.status !== 202) break;
    await pause(Math.min(Number(answer.headers.get("Retry-After")) || 2, WAIT_SECONDS_MAX));
    if (mine !== turn) return undefined;
  }
  return say("There is no preview of this file. Download it to open it.");
}

async function putMade(answer, address, name) {
  if (answer.headers.get("Content-Type")?.startsWith("image/")) {
    const image = element("img", { alt: name, src: address });
    return put(image);
  }
  const words = element("pre", { tabIndex: 0, textContent: await answer.text() });
  words.setAttribute("aria-label", name);
  words.setAttribute("role", "region");
  return put(words);
}

function say(text) {
  put(element("p", { className: "viewer-words", textContent: text }));
}

function put(shown) {
  part("body").replaceChildren(shown);
}

function part(name) {
  return dialog.querySelector(`[data-viewer="${name}"]`);
}

function element(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

function pause(seconds) {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
