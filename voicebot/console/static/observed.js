// What a call finds out, field by field, each with how sure it is; and values in plain words.

import { h } from "./dom.js";

const SURE = {
  provisional: "provisional",
  confirmed: "confirmed",
  contradicted: "contradicted",
  unverifiable: "not verified",
};
const FROM = {
  keypad: "by keys",
  default: "known before",
  tool: "from a tool",
  computed: "computed",
  analysis: "found at the end",
};
const STATUS = { unasked: "open", refused: "refused", not_needed: "not needed", filled: "filled" };

/** The fields of a flow as they fill in. */
export class Observed {
  #rows = new Map();
  #specs = new Map();

  constructor() {
    this.element = h("ul", { class: "observed" });
  }

  /** @param {object[]} specs `observations` of the flow's JSON form; what is not among them is shown by its name */
  begin(specs) {
    this.#specs = new Map(specs.map((spec) => [spec.name, spec]));
    this.#rows.clear();
    this.element.replaceChildren();
    for (const { name } of specs) this.show(name, { value: null, status: "unasked", evidence: null });
  }

  /** @param {{value: any, status: string, evidence: object | null}} found as messages of the server have it */
  show(name, found) {
    const row = this.#rows.get(name) ?? this.#row(name);
    const isTakenBack = found.value === null && row.found.value !== null && found.status === "unasked";
    const { words, state } = standing(found, this.#specs.get(name), isTakenBack);
    const changed = JSON.stringify(found) !== JSON.stringify(row.found);
    row.found = found;
    row.element.dataset.state = state;
    row.badges.replaceChildren(...words.map((word) => h("span", { class: "badge" }, word)));
    if (!isTakenBack) row.value.replaceChildren(...(found.value === null ? [] : [plain(found.value)]));
    row.value.classList.toggle("gone", isTakenBack);
    row.quote.textContent = found.evidence?.quote ? `“${found.evidence.quote}”` : "";
    if (!changed) return;
    row.element.classList.remove("changed");
    void row.element.offsetWidth; // so that the mark of a change begins anew
    row.element.classList.add("changed");
  }

  #row(name) {
    const [badges, value] = [h("span", { class: "badges" }), h("div", { class: "value" })];
    const quote = h("p", { class: "quote quiet" });
    const about = this.#specs.get(name)?.description ?? "";
    const heading = h("div", { class: "heading" }, h("strong", { title: about }, name), badges);
    const element = h("li", { data: { field: name } }, heading, value, quote);
    const row = { element, badges, value, quote, found: { value: null, status: "unasked", evidence: null } };
    this.#rows.set(name, row);
    this.element.append(element);
    return row;
  }
}

/** How a field stands: words to be read, and one for the look of it. */
function standing({ value, status, evidence }, spec, isTakenBack) {
  if (isTakenBack) return { words: ["taken back"], state: "contradicted" };
  if (status !== "filled" || (value === null && !evidence)) {
    return { words: [STATUS[status] ?? status], state: status };
  }
  const words = [];
  if (evidence?.kind in FROM) words.push(FROM[evidence.kind]);
  const isSpoken = !evidence || !(evidence.kind in FROM);
  const state = isSpoken ? (evidence?.state ?? "confirmed") : "confirmed";
  if (isSpoken && evidence) words.push(SURE[state] ?? state);
  if (evidence?.agreed) words.push("read back");
  else if (spec?.confirm === "read back") words.push("to be read back");
  return { words, state };
}

/** A value as people write it: no braces, no quotes. Nothing of it is ever taken for markup. */
export function plain(value) {
  if (!Array.isArray(value)) return document.createTextNode(inWords(value));
  if (!value.length) return document.createTextNode("none");
  if (value.every((one) => typeof one !== "object")) return document.createTextNode(value.map(inWords).join(", "));
  return h("ul", { class: "values" }, value.map((one) => h("li", {}, inWords(one))));
}

function inWords(value) {
  if (value === true) return "yes";
  if (value === false) return "no";
  if (value === null) return "–";
  if (Array.isArray(value)) return value.map(inWords).join(", ") || "none";
  if (typeof value !== "object") return String(value);
  return Object.entries(value)
    .filter(([, part]) => part !== null)
    .map(([name, part]) => `${name}: ${inWords(part)}`)
    .join(" · ");
}
