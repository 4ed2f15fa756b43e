// The page of people, live: what support does shows as it is done, and a token that is redeemed or ends reloads the page.
// Without scripts the page shows the same whenever it is loaded.

const EVERY_MS = 4000;

const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });
const words = {
  "support.look": (event) => `Looked at ${event.subject}`,
  "support.redeem": (event) => `Came in to help: ${event.subject}`,
  "support.end": (event) => `Ended support access: ${event.subject}`,
  download: (event) => `Downloaded ${event.subject}`,
  rename: (event) => `Renamed ${event.subject}`,
  delete: (event) => `Deleted ${event.subject}`,
  recover: (event) => `Recovered ${event.subject}`,
};

function line(event) {
  const item = document.createElement("li");
  const text = document.createElement("span");
  const name = words[event.action];
  text.textContent = name ? name(event) : `${event.action.replace(/[._]/g, " ")}: ${event.subject}`;
  const time = document.createElement("time");
  time.className = "muted";
  time.dateTime = event.at;
  time.textContent = clock.format(new Date(event.at));
  item.append(text, " ", time);
  return item;
}

/** Show what is new of one grant; false once it is over or was redeemed, when the page is to be loaded again. */
async function refresh(row) {
  const answer = await fetch(`/api/v1/grants/${row.dataset.grant}`, { headers: { Accept: "application/json" } });
  if (!answer.ok) return answer.status !== 404;
  const { grant, events } = await answer.json();
  if (grant.state !== row.dataset.state) return false;
  const list = row.querySelector("[data-looks]");
  const newest = events[0]?.id;
  if (list && newest !== row.dataset.newest) {
    row.dataset.newest = newest;
    list.replaceChildren(...events.map(line));
  }
  return true;
}

async function watch(rows) {
  for (;;) {
    await new Promise((wake) => setTimeout(wake, EVERY_MS));
    if (document.hidden || document.activeElement?.closest("form.form")) continue;
    try {
      const fresh = await Promise.all(rows.map(refresh));
      if (fresh.includes(false)) return location.replace(location.pathname);
    } catch {
      // The network is away: what is shown stays, and is asked for again.
    }
  }
}

const rows = [...document.querySelectorAll("[data-grant]")];
if (rows.length) watch(rows);
