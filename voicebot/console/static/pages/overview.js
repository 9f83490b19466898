// How the service does: calls, what came of them, how quickly it answers, what it costs.

import { get } from "../api.js";
import { overTime, shares } from "../charts.js";
import { add, fill, h } from "../dom.js";
import { money, ms, number, seconds, words } from "../format.js";
import { busy, card, empty, errorLine, figure, figures, keep, link, select } from "../parts.js";
import { endTone } from "../tones.js";

export const pattern = "/";
export const title = "Overview";

const EVERY_S = 15;
const HOUR_MS = 3_600_000;
const SPANS = [
  ["24", "Last 24 hours"],
  ["168", "Last 7 days"],
  ["720", "Last 30 days"],
];

const hour = new Intl.DateTimeFormat(navigator.language, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(navigator.language, { weekday: "short", day: "numeric", month: "short" });

export function show(main, { query, signal }) {
  let hours = SPANS.some(([value]) => value === query.get("hours")) ? query.get("hours") : "24";
  const span = select("hours", SPANS, hours, { "aria-label": "Time" });
  const body = h("div", { class: "stack" }, busy());
  add(main, h("div", { class: "page-head" }, h("h1", {}, title), h("div", { class: "push" }, span)), body);

  let shown = "";
  async function load() {
    try {
      const to = new Date();
      const from = new Date(to.getTime() - Number(hours) * HOUR_MS);
      const found = await get("/overview", { from: from.toISOString(), to: to.toISOString() }, { signal });
      const { since, until, ...rest } = found;
      const now = JSON.stringify([hours, rest]);
      if (now === shown) return; // an open table stays open
      shown = now;
      fill(body, content(found, Number(hours)));
    } catch (error) {
      if (!signal.aborted) fill(body, errorLine(error));
      shown = "";
    }
  }
  span.addEventListener("change", () => {
    hours = span.value;
    history.replaceState(null, "", `/console?hours=${hours}`);
    load();
  });
  return keep(load, EVERY_S, signal);
}

function content({ total, hours, live, pending, dead, whole }, span) {
  const top = figures(
    figure("Calls", number(total.calls), live ? link("/calls", `${live} live now`) : "none live now"),
    figure("Median response", ms(total.response_ms), "of the calls' medians"),
    figure("Dead air", seconds(total.dead_air_s), total.duration_s ? `${((total.dead_air_s / total.duration_s) * 100).toFixed(1)} % of the time` : null),
    figure("Model cost", money(total.cost_usd), total.calls && total.cost_usd !== null ? `${money(total.cost_usd / total.calls)} a call` : null),
    figure(
      "Deliveries waiting",
      number(pending),
      dead ? link("/deliveries?state=dead", `${dead} given up`) : "none given up",
    ),
  );
  if (!total.calls)
    return [top, card("Calls", empty("No calls in this time", "Dial the number, or talk to a flow from the browser."))];
  const byDay = span > 48;
  const points = byDay ? daysOf(hours) : hours;
  const label = (one) => (byDay ? day : hour).format(new Date(one.hour));
  const chart = (name, of, format, as) =>
    card(
      name,
      overTime(name, points.map((one) => ({ label: label(one), value: of(one) })), {
        format,
        as,
        name: byDay ? "Day" : "Hour",
      }),
    );
  return [
    top,
    whole ? null : h("p", { class: "quiet" }, "There are more calls than are counted here: the latest are."),
    h(
      "div",
      { class: "halves" },
      chart(byDay ? "Calls per day" : "Calls per hour", (one) => one.calls, number, "columns"),
      chart("Median response", (one) => one.response_ms, ms, "line"),
      chart("Model cost", (one) => one.cost_usd ?? null, money, "columns"),
      chart("Dead air", (one) => (one.calls ? one.dead_air_s : null), seconds, "columns"),
      card("Outcomes", shares("Outcomes", total.outcomes, { words })),
      card("How calls ended", shares("How calls ended", total.ended_reasons, { words, tone: endTone })),
    ),
  ];
}

/** Hours put together to days of this browser's zone; the response is the middle one of the hours', by their calls. */
function daysOf(hours) {
  const days = new Map();
  for (const one of hours) {
    const key = new Date(one.hour).toDateString();
    const sum = days.get(key) ?? { hour: one.hour, calls: 0, cost_usd: null, dead_air_s: 0, waits: [] };
    sum.calls += one.calls;
    sum.dead_air_s += one.dead_air_s;
    if (one.cost_usd !== null) sum.cost_usd = (sum.cost_usd ?? 0) + one.cost_usd;
    if (one.response_ms !== null) for (let n = 0; n < one.calls; n++) sum.waits.push(one.response_ms);
    days.set(key, sum);
  }
  return [...days.values()].map((one) => {
    const waits = one.waits.sort((a, b) => a - b);
    return { ...one, response_ms: waits.length ? waits[Math.floor(waits.length / 2)] : null };
  });
}
