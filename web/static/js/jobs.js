// The page of jobs looks again by itself while something on it waits or runs. Only the cards are exchanged, so that scrolling and
// the focus stay; a card whose button has the focus is left as it is.

const EVERY_MS = 2000;
const EVERY_MS_MAX = 30000;

/** Put the cards of `fresh` in place of the old ones where they differ. */
function exchange(fresh) {
  const old = document.getElementById("jobs");
  const made = fresh.getElementById("jobs");
  if (!old || !made || old.innerHTML === made.innerHTML) return;
  const focused = document.activeElement?.closest?.(".job")?.id;
  if (focused) {
    for (const card of made.querySelectorAll(".job")) {
      const there = document.getElementById(card.id);
      if (there && card.id !== focused) there.replaceWith(card);
    }
  } else {
    old.replaceChildren(...made.childNodes);
  }
  old.toggleAttribute("data-alive", made.hasAttribute("data-alive"));
}

async function look(pause) {
  const jobs = document.getElementById("jobs");
  if (!jobs?.hasAttribute("data-alive")) return;
  let next = EVERY_MS;
  if (!document.hidden) {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.ok) exchange(new DOMParser().parseFromString(await answer.text(), "text/html"));
      else next = Math.min(pause * 2, EVERY_MS_MAX);
    } catch {
      next = Math.min(pause * 2, EVERY_MS_MAX);
    }
  }
  setTimeout(look, next, next);
}

setTimeout(look, EVERY_MS, EVERY_MS);
