// Times. The server's clock counts, not the browser's: every answer carries it. Shown in UTC, as in all of Goldroll's
// sentences; the browser's own zone is in the tooltip.

let ahead = 0;

export function learnTime(dateHeader) {
  const told = Date.parse(dateHeader ?? "");
  // The header counts whole seconds: less than that is no news.
  if (!Number.isNaN(told) && Math.abs(told - now()) > 1500) ahead = told - Date.now();
}

export const now = () => Date.now() + ahead;

const UNITS = [["d", 86_400_000], ["h", 3_600_000], ["min", 60_000], ["s", 1000]];

// A span as people say it, with at most two units: "2 h 10 min", "45 s".
export function span(milliseconds) {
  let rest = Math.max(0, milliseconds);
  const first = UNITS.findIndex(([, size]) => rest >= size);
  if (first < 0) return "0 s";
  const parts = [];
  for (const [unit, size] of UNITS.slice(first, first + 2)) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count && !(unit === "s" && parts.length)) parts.push(`${count} ${unit}`);
  }
  return parts.join(" ");
}

const DAY = new Intl.DateTimeFormat("en-GB", { weekday: "short", timeZone: "UTC" });
const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const HOUR = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: "UTC" });
const HERE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

export const hour = (time) => HOUR.format(new Date(time));
export const weekday = (time) => DAY.format(new Date(time));
export const date = (time) => DATE.format(new Date(time));
export const here = (time) => HERE.format(new Date(time));

// A time as short as it is clear: "14:32" today, "Tue 14:32" within six days, "24 Nov 14:32" otherwise.
export function clock(time) {
  const moment = new Date(time), today = new Date(now());
  if (Number.isNaN(moment.getTime())) return "";
  if (moment.toISOString().slice(0, 10) === today.toISOString().slice(0, 10)) return hour(moment);
  const near = Math.abs(moment - today) < 6 * 86_400_000;
  return `${near ? weekday(moment) : date(moment)} ${hour(moment)}`;
}

export const ago = (time) => `${span(now() - Date.parse(time))} ago`;

// "in 4 min", or that it is due.
export function until(time) {
  const left = Date.parse(time) - now();
  return left > 0 ? `in ${span(left)}` : "due now";
}
