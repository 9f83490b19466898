// Calls: those at work as they come and go, and all that were, to be searched.

import { get } from "../api.js";
import { add, announce, fill, h } from "../dom.js";
import { duration, money, ms, percent, seconds, text, when, words } from "../format.js";
import { badge, busy, card, empty, errorLine, field, keep, select, table } from "../parts.js";
import { outcomeBadge } from "../tones.js";

export const pattern = "/calls";
export const title = "Calls";

const LIVE_EVERY_S = 2;
const MOST_LIVE = 100;
const ROWS = 50;
const SETTLE_MS = 300; // after the last key, before it is searched
const FIELDS = ["text", "number", "flow", "outcome", "ended_reason", "direction", "since", "until"];
const to = (call) => `/calls/${encodeURIComponent(call.call_sid)}`;
const party = (call) => text(call.direction === "outbound" ? call.called : call.caller ?? "Unknown number");

export async function show(main, { query, signal }) {
  const live = h("div", {}, busy());
  const count = h("span", { class: "quiet", role: "status" });
  const filters = makeFilters(query);
  const past = h("div", {}, busy());
  add(
    main,
    h("div", { class: "page-head" }, h("h1", {}, title)),
    card("Live now", live, { more: count }),
    card("History", [filters.form, past], { class: "history" }),
  );
  const reload = makeHistory(past, filters, signal);
  getFlows(signal).then(filters.offerFlows);
  reload();
  return keepLive(live, count, reload, signal);
}

// ---- those at work

function keepLive(live, count, reload, signal) {
  let known = null; // call_sid → row
  let shown = "";
  const load = async () => {
    try {
      const { calls, next } = await get("/calls", { state: "live", limit: MOST_LIVE }, { signal });
      if (known !== null) tell(known, calls);
      if (known !== null && [...known.keys()].some((sid) => !calls.some((one) => one.call_sid === sid))) reload();
      known = new Map(calls.map((one) => [one.call_sid, one]));
      const now = JSON.stringify(calls);
      if (now !== shown) {
        shown = now;
        const focused = document.activeElement?.getAttribute?.("href");
        fill(live, calls.length ? liveTable(calls) : empty("Nobody is on the phone"));
        if (focused) live.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
      }
      count.textContent = calls.length ? `${calls.length}${next ? "+" : ""}` : "";
    } catch (error) {
      if (!signal.aborted) fill(live, errorLine(error));
      shown = "";
    }
  };
  const ticking = setInterval(() => {
    for (const one of live.querySelectorAll("[data-since]"))
      one.textContent = duration((Date.now() - Number(one.dataset.since)) / 1000);
  }, 1000);
  signal.addEventListener("abort", () => clearInterval(ticking));
  return keep(load, LIVE_EVERY_S, signal);
}

function tell(known, calls) {
  const fresh = calls.filter((one) => !known.has(one.call_sid));
  const gone = [...known.values()].filter((one) => !calls.some((other) => other.call_sid === one.call_sid));
  const said = [...fresh.map((one) => `A call from ${party(one)}.`), ...gone.map((one) => `The call from ${party(one)} is over.`)];
  if (said.length) announce(said.join(" "));
}

function liveTable(calls) {
  return table(
    "Calls at work",
    [
      { name: "Caller", cell: party },
      { name: "Flow", cell: (one) => one.flow },
      { name: "Phase", cell: (one) => (one.phase ? badge(words(one.phase), "live") : badge("at another instance")) },
      { name: "Progress", cell: (one) => percent(one.progress), class: "num" },
      { name: "Since", cell: (one) => when(one.started_at), class: "nowrap" },
      { name: "Time", cell: (one) => h("span", { data: { since: new Date(one.started_at).getTime() } }, duration((Date.now() - new Date(one.started_at)) / 1000)), class: "num" },
    ],
    calls,
    { to },
  );
}

// ---- those that were

async function getFlows(signal) {
  try {
    return (await get("/flows", {}, { signal })).flows.map((one) => one.name);
  } catch {
    return []; // the filter is then without a list
  }
}

function makeFilters(query) {
  const given = Object.fromEntries(FIELDS.map((name) => [name, query.get(name) ?? ""]));
  const input = (name, props = {}) => h("input", { name, value: given[name], autocomplete: "off", ...props });
  const flow = select("flow", [["", "All flows"], ...(given.flow ? [[given.flow, given.flow]] : [])], given.flow);
  const form = h(
    "form",
    { class: "filters", role: "search", action: "/console/calls", "aria-label": "Search calls" },
    field("Said in the call", input("text", { type: "search", maxlength: 100, placeholder: "margherita" })),
    field("Number", input("number", { type: "tel", placeholder: "+15550123456" })),
    field("Flow", flow),
    field("Outcome", input("outcome", { placeholder: "ordered" })),
    field("Ended", select("ended_reason", [["", "Any way"], ...ENDS.map((one) => [one, words(one)])], given.ended_reason)),
    field("Direction", select("direction", [["", "Both"], ["inbound", "Inbound"], ["outbound", "Outbound"]], given.direction)),
    field("From", input("since", { type: "date" })),
    field("To", input("until", { type: "date" })),
  );
  return {
    form,
    offerFlows(names) {
      for (const name of names)
        if (![...flow.options].some((one) => one.value === name)) flow.append(new Option(name, name));
    },
    values: () => Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()])),
  };
}

/** Every way in which a call ends, as reports name it. */
const ENDS = [
  ...["completed", "caller_finished", "caller_hung_up", "transferred", "transfer_failed", "silence"],
  ...["duration_limit", "cost_limit", "model_failed", "connection_lost", "never_connected", "full", "closed"],
  ...["voicemail", "busy", "no_answer", "failed", "canceled", "shutdown", "error"],
];

/** What the API is asked: days become times of this browser's zone, the last one whole. */
function asked(values) {
  const start = (day, later = 0) => {
    const [year, month, date] = day.split("-").map(Number);
    return new Date(year, month - 1, date + later).toISOString();
  };
  return {
    ...values,
    number: values.number.replace(/[\s()./-]/g, ""),
    since: values.since && start(values.since),
    until: values.until && start(values.until, 1),
    state: "ended",
    limit: ROWS,
  };
}

function makeHistory(body, { form, values }, signal) {
  let cursors = [null]; // of the pages up to the one that is shown
  let latest = 0;
  async function load() {
    const mine = ++latest;
    const wanted = values();
    body.setAttribute("aria-busy", "true");
    try {
      const { calls, next } = await get("/calls", { ...asked(wanted), cursor: cursors.at(-1) }, { signal });
      if (mine === latest) fill(body, rows(calls, wanted), pager(next));
    } catch (error) {
      if (mine === latest && !signal.aborted) fill(body, errorLine(error, load));
    }
    if (mine === latest) body.removeAttribute("aria-busy");
  }
  const turn = (changed) => {
    cursors = changed;
    load().then(() => body.scrollIntoView({ block: "nearest" }));
  };
  const pager = (next) =>
    cursors.length > 1 || next
      ? h(
          "nav",
          { class: "pager", "aria-label": "Pages of the history" },
          h("span", { class: "quiet" }, `Page ${cursors.length}`),
          h("button", { type: "button", disabled: cursors.length === 1, on: { click: () => turn(cursors.slice(0, -1)) } }, "Newer"),
          h("button", { type: "button", disabled: !next, on: { click: () => turn([...cursors, next]) } }, "Older"),
        )
      : null;
  let settling;
  const changed = () => {
    clearTimeout(settling);
    settling = setTimeout(() => {
      if (signal.aborted) return;
      const behind = new URLSearchParams(Object.entries(values()).filter(([, value]) => value)).toString();
      history.replaceState(null, "", behind ? `/console/calls?${behind}` : "/console/calls");
      cursors = [null];
      load();
    }, SETTLE_MS);
  };
  form.addEventListener("input", changed);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    changed();
  });
  return () => (cursors.length === 1 ? load() : undefined);
}

function rows(calls, wanted) {
  if (!calls.length)
    return Object.values(wanted).some(Boolean)
      ? empty("No call is like that on this page", "Loosen the filters, or look at older calls.")
      : empty("No calls yet");
  return table(
    "Calls that are over, latest first",
    [
      { name: "Caller", cell: (one) => [party(one), one.direction === "outbound" && [" ", badge("outbound")]] },
      { name: "Started", cell: (one) => when(one.started_at), class: "nowrap" },
      { name: "Flow", cell: (one) => one.flow },
      { name: "Outcome", cell: (one) => [outcomeBadge(one), one.problems ? [" ", badge(`${one.problems} trouble`, "bad")] : null] },
      { name: "Last phase", cell: (one) => words(one.phase) },
      { name: "Duration", cell: (one) => duration(one.duration_s), class: "num" },
      { name: "Response", cell: (one) => ms(one.response_ms), class: "num" },
      { name: "Dead air", cell: (one) => seconds(one.dead_air_s), class: "num" },
      { name: "Cost", cell: (one) => money(one.cost_usd), class: "num" },
    ],
    calls,
    { to },
  );
}
