// One flow: its picture, what the linter says, how far real callers got, its observations and its JSON form.

import { get, may, path } from "../api.js";
import { add, h } from "../dom.js";
import { number, percent, when, words } from "../format.js";
import { listed, picture } from "../graph.js";
import { badge, card, empty, errorLine, facts, figure, figures, link, table, tabs } from "../parts.js";
import { counted } from "./flows.js";

export const pattern = "/flows/:name";
export const title = "Flow";

export async function show(main, { params: { name }, session, signal, setTitle }) {
  setTitle(name);
  const of = (what) => get(path`/flows/${name}` + what, {}, { signal });
  const [flow, outline, check, stats] = await Promise.all([of(""), of("/outline"), of("/check"), of("/stats")]);
  const talk = link(`/talk?flow=${encodeURIComponent(name)}`, "Talk with it", { class: "button" });
  add(
    main,
    h(
      "div",
      { class: "page-head" },
      h("h1", {}, name),
      h("code", { title: "version" }, outline.version),
      counted(check.findings),
      h("span", { class: "push" }, may(session, "operate") && talk),
    ),
    h("p", { class: "goal" }, flow.goal),
    graphCard(outline),
    findingsCard(check.findings),
    coverageCard(stats, outline),
    h("div", { class: "columns" }, aboutCard(flow, outline), versionsCard(stats, outline.version)),
    formCard(name, flow, signal),
  );
}

function graphCard(outline) {
  const { element, begins } = picture(outline);
  const drawn = h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Picture of the flow" }, element);
  requestAnimationFrame(() => (drawn.scrollLeft = begins - drawn.clientWidth / 2)); // where that is narrow
  return card(
    "How a call goes",
    tabs("Views of the flow", [
      ["Picture", () => drawn],
      ["List", () => listed(outline)],
    ]),
  );
}

function findingsCard(findings) {
  const one = ({ rule, severity, where, problem, mend }) =>
    h(
      "li",
      { class: "finding" },
      h("p", {}, badge(severity, severity === "error" ? "bad" : "warn"), " ", problem),
      facts(["Where", where && h("code", {}, where)], ["Rule", h("code", {}, rule)], ["How to mend it", mend]),
    );
  const list = findings.length ? h("ul", { class: "findings" }, findings.map(one)) : empty("The linter finds nothing.");
  return card("Findings", list, { more: counted(findings) });
}

/** How many of the callers who began got to each phase, and how many were lost there. */
function coverageCard(stats, outline) {
  const since = `Since ${when(stats.since)}${stats.whole ? "" : "; the latest calls only"}`;
  if (!stats.calls) {
    const hint = stats.live ? `${stats.live} still run.` : "Figures come with the first call that ends.";
    return card("How far callers get", empty("No call of this flow has ended.", hint));
  }
  const most = Math.max(stats.calls, ...stats.phases.map((one) => one.entered));
  const bar = ({ entered, dropped }) => {
    const red = h("span", { class: "reach-lost", css: { width: `${share(dropped, entered)}%` } });
    const whole = h("span", { class: "reach-all", css: { width: `${share(entered, most)}%` } }, red);
    return h("span", { class: "reach", "aria-hidden": "true" }, whole);
  };
  const rows = table(
    "Calls by phase",
    [
      {
        name: "Phase",
        cell: (one) => [
          one.name,
          !outline.phases.some(({ name }) => name === one.name) && h("span", { class: "quiet" }, " (of an earlier version)"),
        ],
      },
      { name: "", cell: bar, class: "reaches" },
      { name: "Got there", cell: (one) => `${number(one.entered)} (${percent(one.entered / stats.calls)})`, class: "num" },
      { name: "Ended there", cell: (one) => number(one.ended_here), class: "num" },
      {
        name: "Lost there",
        cell: (one) =>
          one.dropped
            ? h("span", { class: "lost" }, `${number(one.dropped)} (${percent(one.dropped / one.entered)})`)
            : "0",
        class: "num",
      },
    ],
    stats.phases,
  );
  const share_ = (counts) =>
    Object.entries(counts).map(([word, count]) => [words(word), `${number(count)} (${percent(count / stats.calls)})`]);
  return card("How far callers get", [
    figures(
      figure("Calls that ended", number(stats.calls), stats.live ? `${number(stats.live)} still run` : null),
      figure("Lost on the way", number(lost(stats)), percent(lost(stats) / stats.calls)),
    ),
    rows,
    h(
      "div",
      { class: "halves counts" },
      h("div", {}, h("h3", {}, "Outcomes"), facts(...share_(stats.outcomes))),
      h("div", {}, h("h3", {}, "How calls ended"), facts(...share_(stats.ended_reasons))),
    ),
  ], { more: h("span", { class: "quiet" }, since), class: "reached" });
}

const lost = (stats) => stats.phases.reduce((sum, one) => sum + one.dropped, 0);
const share = (part, whole) => (whole ? (100 * part) / whole : 0);

function aboutCard(flow, outline) {
  const fields = table(
    "What it finds out",
    [
      { name: "Field", cell: (one) => h("code", {}, one.name), class: "whole" },
      { name: "What", cell: (one) => one.description, class: "words" },
      { name: "How", cell: (one) => how(one).map((word) => [badge(word), " "]) },
    ],
    flow.observations ?? [],
  );
  const names = (some) => (some?.length ? some.join(", ") : null);
  return card("What it finds out", [
    facts(
      ["Begins in", outline.initial_phase],
      ["Languages", names(flow.languages)],
      ["Voice", flow.voice],
      ["Numbers", names(flow.numbers)],
      ["Transfers to", names(Object.keys(flow.targets ?? {}))],
    ),
    flow.observations?.length ? fields : empty("It finds out nothing."),
  ]);
}

function how(spec) {
  return [
    spec.optional && "optional",
    spec.needed_if && "at times",
    spec.computed && "computed",
    spec.default_from && "known before",
    spec.confirm,
    spec.keypad && "by keys",
    spec.secret && "secret",
  ].filter(Boolean);
}

function versionsCard(stats, now) {
  const rows = table(
    "Versions",
    [
      { name: "Version", cell: (one) => [h("code", {}, one.version), " ", one.version === now && badge("now", "good")] },
      { name: "Calls", cell: (one) => number(one.calls), class: "num" },
      { name: "First", cell: (one) => when(one.first) },
      { name: "Last", cell: (one) => when(one.last) },
    ],
    stats.versions,
  );
  const note = `${now} is loaded; no call was made with it in this time.`;
  const isUnused = !stats.versions.some((one) => one.version === now);
  return card("Versions", [isUnused && h("p", { class: "quiet" }, note), stats.versions.length > 0 && rows]);
}

function formCard(name, flow, signal) {
  const schema = h("pre", { class: "code", tabindex: "0" });
  const show = async () => {
    try {
      schema.textContent = JSON.stringify(await get(path`/flows/${name}/schema`, {}, { signal }), null, 2);
    } catch (error) {
      if (!signal.aborted) schema.replaceWith(errorLine(error));
    }
  };
  return card("For programs", [
    h(
      "p",
      { class: "inline" },
      h("a", { href: path`/flows/${name}`, target: "_blank" }, "JSON form"),
      h("a", { href: path`/flows/${name}/schema`, target: "_blank" }, "Report schema"),
      h("a", { href: path`/flows/${name}/graph`, target: "_blank" }, "Drawing (SVG)"),
      h("a", { href: path`/flows/${name}/graph?format=mermaid`, target: "_blank" }, "Mermaid"),
    ),
    tabs("Forms", [
      ["JSON form", () => h("pre", { class: "code", tabindex: "0" }, JSON.stringify(flow, null, 2))],
      [
        "Report schema",
        () => {
          show();
          return schema;
        },
      ],
    ]),
  ]);
}
