// Values as people read them. What is not known is a dash.

export const NONE = "–";
const LOCALE = navigator.language;

const clock = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "short" });
const whole = new Intl.DateTimeFormat(LOCALE, { dateStyle: "medium", timeStyle: "medium" });
const plain = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 1 });

const known = (value) => value !== null && value !== undefined && value !== "";

/** The hour and minute, with the day before it when that is not today. */
export function when(iso) {
  if (!known(iso)) return NONE;
  const at = new Date(iso);
  const isToday = at.toDateString() === new Date().toDateString();
  return isToday ? clock.format(at) : `${day.format(at)}, ${clock.format(at)}`;
}

export const whenWhole = (iso) => (known(iso) ? whole.format(new Date(iso)) : NONE);

/** 3:07, 1:02:45. */
export function duration(seconds) {
  if (!known(seconds)) return NONE;
  const all = Math.max(0, Math.round(seconds));
  const two = (value) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(all / 3600), Math.floor(all / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(all % 60)}` : `${minutes}:${two(all % 60)}`;
}

export const ms = (value) => (known(value) ? `${new Intl.NumberFormat(LOCALE).format(Math.round(value))} ms` : NONE);
/** 12.3 s; from 100 s on in minutes. */
export function seconds(value) {
  if (!known(value)) return NONE;
  return value < 100 ? `${plain.format(value)} s` : `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
}
export const number = (value) => (known(value) ? plain.format(value) : NONE);
export const percent = (share) => (known(share) ? `${Math.round(share * 100)} %` : NONE);
export const text = (value) => (known(value) ? String(value) : NONE);

/** US dollars: cents where there are some, more places where there are none. */
export function money(usd) {
  if (!known(usd)) return NONE;
  return `$${usd === 0 ? "0" : usd.toFixed(usd >= 0.1 ? 2 : 4)}`;
}

/** A word for programs, as words: caller_hung_up → caller hung up. */
export const words = (name) => (known(name) ? String(name).replaceAll("_", " ") : NONE);

/** A value that a flow found out, on one line; what is null in it is left out. */
export function value(one) {
  if (one === null || one === undefined) return NONE;
  if (typeof one === "boolean") return one ? "yes" : "no";
  if (Array.isArray(one)) return one.length ? one.map(value).join(", ") : "none";
  if (typeof one === "object")
    return Object.entries(one)
      .filter(([, inner]) => inner !== null)
      .map(([key, inner]) => `${words(key)}: ${value(inner)}`)
      .join(", ");
  return String(one);
}
