// Parts that all pages are made of.

import { add, announce, fill, h, newId } from "./dom.js";
import { ApiError } from "./api.js";

/** A link to a page of the console: taken by the router, without loading anew. */
export const link = (to, label, props = {}) => h("a", { href: `/console${to}`, ...props }, label);

/** @param {""|"good"|"bad"|"warn"|"live"} tone */
export const badge = (label, tone = "") => h("span", { class: `badge ${tone}` }, label);

/** A card with a heading; `more` stands at the heading's right. */
export function card(title, children, { more = null, id = newId("card"), class: kind = "" } = {}) {
  return h(
    "section",
    { class: `card ${kind}`, "aria-labelledby": id },
    h("div", { class: "card-head" }, h("h2", { id }, title), more),
    children,
  );
}

/** A figure with its name, and a remark below. */
export const figure = (name, value, remark = null) =>
  h("div", { class: "figure" }, h("dt", {}, name), h("dd", {}, value), remark && h("p", { class: "quiet" }, remark));

/** Figures in a row. */
export const figures = (...some) => h("dl", { class: "figures" }, some);

/** What stands where there is nothing. */
export const empty = (title, hint = null) =>
  h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), hint && h("p", { class: "quiet" }, hint));

/** What went wrong, in a line that screen readers say at once. */
export function errorLine(error, again = null) {
  const said = error instanceof ApiError ? error.message : `The page has a fault: ${error.message}`;
  return h(
    "p",
    { class: "error", role: "alert" },
    said,
    again && [" ", h("button", { class: "small", type: "button", on: { click: again } }, "Try again")],
  );
}

export const busy = (label = "Loading…") => h("p", { class: "quiet busy", role: "status" }, label);

/**
 * A table that becomes a list of cards on a narrow screen.
 *
 * @param {string} caption for screen readers
 * @param {{name: string, cell: (row) => any, class?: string}[]} columns
 * @param {Array} rows
 * @param {{to?: (row) => string}} options `to`: the page of a row, which its first cell links to
 */
export function table(caption, columns, rows, { to = null } = {}) {
  const cells = (row) =>
    columns.map(({ name, cell, class: kind = "" }, index) => {
      const found = cell(row);
      const inner = to && index === 0 ? link(to(row), found, { class: "row-link" }) : found;
      return h(index === 0 ? "th" : "td", { class: kind, "data-label": name, scope: index === 0 ? "row" : null }, inner);
    });
  return h(
    "div",
    { class: "table-wrap" },
    h(
      "table",
      { class: to ? "rows linked" : "rows" },
      h("caption", { class: "sr" }, caption),
      h("thead", {}, h("tr", {}, columns.map((one) => h("th", { scope: "col", class: one.class ?? "" }, one.name)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, cells(row)))),
    ),
  );
}

/** Names and values in two columns; those without a value are left out. */
export const facts = (...pairs) =>
  h(
    "dl",
    { class: "facts" },
    pairs.filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => [
      h("dt", {}, name),
      h("dd", {}, value),
    ]),
  );

/** An input with its label. */
export function field(label, input) {
  input.id ||= newId("field");
  return h("div", { class: "field" }, h("label", { for: input.id }, label), input);
}

/** A select of pairs of value and label. */
export const select = (name, pairs, chosen, props = {}) =>
  h("select", { name, ...props }, pairs.map(([value, label]) => h("option", { value, selected: value === chosen }, label)));

/** A button that waits for what it does, and says below it what went wrong. */
export function action(label, act, { class: kind = "", done = null, disabled = false } = {}) {
  const told = h("span", { class: "told", role: "status" });
  const button = h("button", { type: "button", class: kind, disabled }, label);
  button.addEventListener("click", async () => {
    button.disabled = true;
    fill(told);
    try {
      await act();
      if (done) announce(done);
      if (done) told.textContent = done;
    } catch (error) {
      if (error.name !== "AbortError") fill(told, errorLine(error));
    }
    button.disabled = disabled;
  });
  return h("span", { class: "action" }, button, told);
}

/** Tabs: pairs of name and what gives the content, made when it is first shown. */
export function tabs(label, pairs) {
  const made = pairs.map(([name, make]) => {
    const panelId = newId("panel");
    const tab = h("button", { type: "button", role: "tab", id: newId("tab"), "aria-controls": panelId }, name);
    const panel = h("div", { role: "tabpanel", id: panelId, "aria-labelledby": tab.id, tabindex: "0", hidden: true });
    return { tab, panel, make, isMade: false };
  });
  const choose = (chosen, focus = false) => {
    for (const one of made) {
      const isChosen = one === chosen;
      one.tab.setAttribute("aria-selected", String(isChosen));
      one.tab.tabIndex = isChosen ? 0 : -1;
      one.panel.hidden = !isChosen;
    }
    if (!chosen.isMade) add(chosen.panel, chosen.make());
    chosen.isMade = true;
    if (focus) chosen.tab.focus();
  };
  made.forEach((one, index) => {
    one.tab.addEventListener("click", () => choose(one));
    one.tab.addEventListener("keydown", ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (step) choose(made[(index + step + made.length) % made.length], true);
    });
  });
  choose(made[0]);
  return h(
    "div",
    { class: "tabs" },
    h("div", { role: "tablist", "aria-label": label }, made.map((one) => one.tab)),
    made.map((one) => one.panel),
  );
}

/** Do something now and every `seconds`, one after the other, until `signal` aborts; not while nobody looks. */
export async function keep(doing, seconds, signal) {
  while (!signal.aborted) {
    if (!document.hidden) await doing();
    await pause(seconds, signal);
  }
}

/** Wait. Ends sooner when `signal` aborts, or when the page comes to be seen again. */
export const pause = (seconds, signal) =>
  new Promise((over) => {
    const done = () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", done);
      signal?.removeEventListener("abort", done);
      over();
    };
    const timer = setTimeout(done, seconds * 1000);
    signal?.addEventListener("abort", done);
    document.addEventListener("visibilitychange", done);
  });
