// The slider of a device's history: it moves the date field, and shows the device at that moment when it is let go.

const slider = document.querySelector("[data-time-slide]");
const field = document.querySelector("[data-time-field]");
const words = document.querySelector("[data-time-words]");

/** The moment under the slider, as the account's clock shows it: the page gives the zone, since the browser may be elsewhere. */
function local(seconds, zone) {
  const parts = new Intl.DateTimeFormat("en-CA", {
    timeZone: zone,
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  }).formatToParts(new Date(seconds * 1000));
  const of = Object.fromEntries(parts.map((part) => [part.type, part.value]));
  return `${of.year}-${of.month}-${of.day}T${of.hour}:${of.minute}`;
}

if (slider && field) {
  const { first, last, zone } = slider.dataset;
  const moment = () => Number(first) + ((Number(last) - Number(first)) * slider.value) / 1000;
  const show = () => {
    field.value = local(moment(), zone);
    const text = field.value.replace("T", ", ");
    slider.setAttribute("aria-valuetext", text);
    words.textContent = text;
  };
  slider.hidden = false;
  slider.addEventListener("input", show);
  slider.addEventListener("change", () => {
    show();
    field.form.requestSubmit();
  });
}
