// Numbers in words, as web/filters.py writes them: 1 KB is 1,024 bytes, as in the customer's quota.

const UNITS = ["KB", "MB", "GB", "TB", "PB", "EB"];

/** 12480 → "12,480" */
export function count(value) {
  return value.toLocaleString("en");
}

/** (1, "file", "files") → "1 file" */
export function plural(value, one, many) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** 1503238553 → "1.4 GB" */
export function bytes(value) {
  if (value < 1024) return plural(value, "byte", "bytes");
  let unit = -1;
  do {
    value /= 1024;
    unit += 1;
  } while (value >= 1023.5 && unit < UNITS.length - 1);
  const text = value < 9.95 ? value.toFixed(1).replace(/\.0$/, "") : count(Math.round(value));
  return `${text} ${UNITS[unit]}`;
}

/** Seconds to come, roughly, as a person would say them. */
export function timeLeft(seconds) {
  if (seconds < 10) return "a few seconds left";
  if (seconds < 60) return `${Math.ceil(seconds / 10) * 10} seconds left`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${plural(minutes, "minute", "minutes")} left`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${plural(hours, "hour", "hours")}${minutes % 60 ? ` ${minutes % 60} min` : ""} left`;
  return `${plural(Math.round(hours / 24), "day", "days")} left`;
}
