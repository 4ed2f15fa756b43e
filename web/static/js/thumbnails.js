// Small pictures in place of a file's icon: asked for when the place comes into view, few at a time, and again while the
// server is still making one. A place without one keeps its icon.

const AT_ONCE = 6;
const ASKED_MAX = 8; // of one that is being made; later it is asked for when the page is opened again
const WAIT_SECONDS_MAX = 30;
const MARGIN = "300px";

const waiting = [];
let running = 0;

const watcher = new IntersectionObserver(
  (seen) => {
    for (const { target, isIntersecting } of seen) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      waiting.push({ place: target, asked: 0 });
    }
    next();
  },
  { rootMargin: MARGIN },
);

/** Watch the places in this part of the page. Again whenever content was put in. */
export function watchThumbnails(root = document) {
  for (const place of root.querySelectorAll("[data-thumb]:not([data-thumb-watched])")) {
    place.dataset.thumbWatched = "";
    watcher.observe(place);
  }
}

function next() {
  while (running < AT_ONCE && waiting.length) {
    const wanted = waiting.shift();
    if (!wanted.place.isConnected) continue;
    running += 1;
    load(wanted).finally(() => {
      running -= 1;
      next();
    });
  }
}

async function load({ place, asked }) {
  const image = new Image();
  image.alt = "";
  image.decoding = "async";
  image.src = place.dataset.thumb;
  try {
    await image.decode();
    place.classList.add("tile-pictured");
    place.append(image);
  } catch {
    await again({ place, asked });
  }
}

/** It is no picture yet, or never: the status says which. */
async function again({ place, asked }) {
  let answer;
  try {
    answer = await fetch(place.dataset.thumb, { cache: "no-store" });
  } catch {
    return; // offline
  }
  if (answer.status !== 202 || asked + 1 >= ASKED_MAX) return;
  const seconds = Math.min(Number(answer.headers.get("Retry-After")) || 2, WAIT_SECONDS_MAX) * (1 + asked);
  setTimeout(() => {
    waiting.push({ place, asked: asked + 1 });
    next();
  }, seconds * 1000);
}
