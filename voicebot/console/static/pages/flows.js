// All flows, what the linter has to say of each, and files that hold none that can be used.

import { get, path } from "../api.js";
import { add, fill, h } from "../dom.js";
import { badge, card, empty, facts, link, table } from "../parts.js";

export const pattern = "/flows";
export const title = "Flows";

const AT_ONCE = 3; // flows that are being checked

export async function show(main, { signal }) {
  const { flows, problems } = await get("/flows", {}, { signal });
  const findings = new Map(flows.map(({ name }) => [name, h("span", { class: "quiet" }, "…")]));
  const rows = table(
    "Flows",
    [
      { name: "Flow", cell: (flow) => flow.name, class: "whole" },
      { name: "Goal", cell: (flow) => flow.goal, class: "words" },
      { name: "Phases", cell: (flow) => flow.phases.length, class: "num" },
      { name: "Numbers", cell: (flow) => flow.numbers.join(", "), class: "whole" },
      { name: "Findings", cell: (flow) => findings.get(flow.name) },
      { name: "Version", cell: (flow) => h("code", {}, flow.version), class: "whole" },
    ],
    flows,
    { to: (flow) => path`/flows/${flow.name}` },
  );
  add(
    main,
    h("h1", {}, title),
    problems.length > 0 && card(`${problems.length} not loaded`, problems.map(fault)),
    flows.length
      ? card("Loaded", rows)
      : card("Loaded", empty("There is no flow.", [link("/docs/flows", "Write one"), " into the folder of VOICEBOT_FLOWS."])),
  );
  const left = [...flows];
  const count = async () => {
    for (let flow = left.shift(); flow && !signal.aborted; flow = left.shift()) {
      const place = findings.get(flow.name);
      try {
        fill(place, counted((await get(path`/flows/${flow.name}/check`, {}, { signal })).findings));
      } catch (error) {
        fill(place, error.name === "AbortError" ? null : "not checked");
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, count));
}

/** How many findings there are, the grave ones first. */
export function counted(findings) {
  const errors = findings.filter((one) => one.severity === "error").length;
  const warnings = findings.length - errors;
  if (!findings.length) return badge("no findings", "good");
  return [
    errors > 0 && badge(errors === 1 ? "1 error" : `${errors} errors`, "bad"),
    warnings > 0 && badge(warnings === 1 ? "1 warning" : `${warnings} warnings`, "warn"),
  ];
}

function fault({ where, problem, mend }) {
  return h(
    "div",
    { class: "finding" },
    h("p", {}, badge("error", "bad"), " ", problem),
    facts(["Where", where && h("code", {}, where)], ["How to mend it", mend]),
  );
}
