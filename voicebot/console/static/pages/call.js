// A call: where it went, what was said and heard, what was found out and by which words; live while it is at work.

import { ApiError, get, may, path, post } from "../api.js";
import { overTime } from "../charts.js";
import { add, announce, fill, h } from "../dom.js";
import { duration, money, ms, number, percent, seconds, text, value, when, whenWhole, words } from "../format.js";
import { follow } from "../live.js";
import {
  action, badge, busy, card, empty, errorLine, facts, field, figure, figures, link, select, table, tabs,
} from "../parts.js";
import { makePlayer } from "../player.js";
import { deliveryBadge, evidenceBadge, outcomeBadge, statusBadge } from "../tones.js";

export const pattern = "/calls/:call_sid";
export const title = "Call";

const AFRESH_MS = 800; // entries come in bunches; the call is asked for after one
const JOURNAL_ROWS = 500;
const HEARD = new Set(["kept", "cut_short"]);

export async function show(main, { params, session, signal, setTitle }) {
  const callSid = params.call_sid;
  const body = h("div", { class: "stack" }, busy());
  add(main, body);
  let call;
  try {
    call = await get(path`/calls/${callSid}`, {}, { signal });
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
    fill(body, h("h1", {}, "No such call"), h("p", {}, "It was never there, or is erased. ", link("/calls", "All calls")));
    return;
  }
  setTitle(`Call from ${text(call.caller)}`);
  const page = makePage(callSid, call, session, signal);
  fill(body, page.element);
  page.show(call);
  if (call.state === "live") await watch(callSid, page, signal);
}

/** Follow a live call: each entry is shown, and the call as a whole is asked for soon after. */
async function watch(callSid, page, signal) {
  let asking = null;
  const afresh = async () => {
    asking = null;
    try {
      page.show(await get(path`/calls/${callSid}`, {}, { signal }));
    } catch (error) {
      if (!signal.aborted) page.complain(error);
    }
  };
  try {
    await follow(callSid, {
      signal,
      onState: page.showState,
      onEntry(entry) {
        page.addEntry(entry);
        asking ??= setTimeout(afresh, AFRESH_MS);
      },
    });
  } catch (error) {
    if (!signal.aborted) page.complain(error);
  }
  clearTimeout(asking);
  if (signal.aborted) return;
  await afresh();
  announce("The call is over.");
}

function makePage(callSid, first, session, signal) {
  const head = h("div", { class: "stack" });
  const told = h("div", {});
  const timeline = h("div", {});
  const transcript = h("div", { class: "transcript" });
  const observations = h("div", {});
  const recording = h("div", {});
  const panels = { latency: h("div", {}), audio: h("div", {}), cost: h("div", {}), tools: h("div", {}), posts: h("div", {}), facts: h("div", {}) };
  const journal = makeJournal(callSid, first, signal);
  const operating = may(session, "operate") ? operate(callSid, first.targets, signal) : null;
  const line = h("span", { role: "status" });
  let player = null;

  function show(call) {
    fill(head, header(call, line));
    if (operating) operating.hidden = call.state !== "live";
    if (player === null && call.state === "ended" && HEARD.has(call.recording)) {
      const [part] = call.recording_parts;
      const began = part ? new Date(part.started_at).getTime() : null;
      const marks = call.phases.slice(1).map((one) => (new Date(one.entered_at) - began) / 1000);
      const length = call.recording_parts.reduce((sum, one) => sum + (one.duration_ms ?? 0), 0) / 1000;
      player = makePlayer(callSid, { signal, marks: began ? marks : [], length });
      fill(recording, card("Recording", player.element));
    } else if (player === null && call.state === "ended" && call.recording) {
      fill(recording, card("Recording", h("p", { class: "quiet" }, `There is nothing to hear: ${words(call.recording)}.`)));
    }
    const hear = player?.playAt ?? null;
    fill(timeline, phases(call, hear));
    const wasAtEnd = call.state === "live" && transcript.scrollHeight - transcript.scrollTop - transcript.clientHeight < 40;
    fill(transcript, lines(call, hear));
    if (wasAtEnd) transcript.scrollTop = transcript.scrollHeight;
    fill(observations, found(call, hear));
    fill(panels.latency, latency(call));
    fill(panels.audio, quality(call));
    fill(panels.cost, cost(call));
    fill(panels.tools, tools(call));
    fill(panels.posts, posts(call));
    fill(panels.facts, details(call));
  }

  const element = [
    head,
    told,
    operating,
    card("Way through the flow", timeline),
    recording,
    h("div", { class: "columns talked" }, card("Transcript", transcript), card("Observations", observations)),
    card(
      "More",
      tabs("More of the call", [
        ["Latency", () => panels.latency],
        ["Audio", () => panels.audio],
        ["Cost", () => panels.cost],
        ["Tools", () => panels.tools],
        ["Deliveries", () => panels.posts],
        ["Details", () => panels.facts],
        ["Journal", journal.open],
      ]),
    ),
  ];
  return {
    element,
    show,
    addEntry: journal.add,
    complain: (error) => fill(told, errorLine(error)),
    showState(state) {
      fill(line, state === "lost" ? badge("connection lost, trying again", "warn") : null);
      fill(told);
    },
  };
}

// ---- the head

function header(call, line) {
  const [from, to] = [text(call.caller ?? "Unknown number"), text(call.called)];
  return [
    h(
      "div",
      { class: "page-head" },
      link("/calls", "Calls", { class: "back" }),
      h("h1", {}, from, h("span", { class: "quiet" }, ` → ${to}`)),
      outcomeBadge(call),
      call.direction === "outbound" && badge("outbound"),
      call.trouble.length > 0 && badge(`${call.trouble.length} trouble`, "bad"),
      line,
      h("span", { class: "push quiet nowrap" }, `${call.flow}, ${when(call.started_at)}`),
    ),
    call.summary && h("p", {}, call.summary),
    figures(
      figure("Duration", duration(call.duration_s)),
      figure("Progress", percent(call.progress), call.phase && words(call.phase)),
      figure("Median response", ms(call.response_ms), call.turns ? `${call.turns} turns` : null),
      figure("Dead air", seconds(call.dead_air_s)),
      figure("Model cost", money(call.cost_usd)),
    ),
    call.trouble.length > 0 &&
      h(
        "ul",
        { class: "troubles" },
        call.trouble.map((one) => h("li", { class: "error" }, h("strong", {}, words(one.kind)), " ", text(one.text))),
      ),
  ];
}

// ---- what an operator does

function operate(callSid, targets, signal) {
  const say = h("input", { maxlength: 500, autocomplete: "off" });
  const note = h("input", { maxlength: 1000, autocomplete: "off" });
  const send = (what, input) => async () => {
    if (!input.value.trim()) {
      input.focus();
      return;
    }
    await post(path`/calls/${callSid}/` + what, { text: input.value }, { signal });
    input.value = "";
  };
  const form = (label, input, button) => {
    const inner = h("form", { class: "operate-line", action: "/console" }, field(label, input), button);
    inner.addEventListener("submit", (event) => {
      event.preventDefault();
      button.querySelector("button").click();
    });
    return inner;
  };
  const chosen = select("target", targets.map((one) => [one, words(one)]), targets[0]);
  return card(
    "In this call",
    h(
      "div",
      { class: "operate" },
      form("Say, word for word", say, action("Say", send("say", say), { done: "It is being said." })),
      form("Note to the model, which nobody hears", note, action("Send", send("note", note), { done: "The model has it." })),
      targets.length > 0 &&
        form(
          "Join the caller to",
          chosen,
          action("Transfer", () => post(path`/calls/${callSid}/transfer`, { target: chosen.value }, { signal }), { done: "It is under way." }),
        ),
      hangUp(callSid, signal),
    ),
    { class: "operating" },
  );
}

/** Asks once more: a call that is over does not come back. */
function hangUp(callSid, signal) {
  const box = h("div", { class: "inline" });
  const ask = () => {
    const sure = action("End it, with a goodbye", () => post(path`/calls/${callSid}/hang-up`, {}, { signal }), {
      class: "danger",
      done: "The goodbye is said.",
    });
    const back = h("button", { type: "button", on: { click: reset } }, "No");
    fill(box, sure, back);
    back.focus();
  };
  const reset = () => fill(box, h("button", { type: "button", class: "danger", on: { click: ask } }, "Hang up…"));
  reset();
  return box;
}

// ---- the way through the flow

function phases(call, hear) {
  if (!call.phases.length) return empty("No phase was entered", "The call ended before the conversation began.");
  const end = call.state === "live" ? Date.now() : null;
  const spans = call.phases.map((one, index) => {
    const isNow = call.state === "live" && index === call.phases.length - 1;
    const left = isNow ? end : new Date(one.left_at).getTime();
    return { ...one, isNow, seconds: Math.max(0, (left - new Date(one.entered_at)) / 1000) };
  });
  const [part] = call.recording_parts;
  return h(
    "ol",
    { class: "phases" },
    spans.map((one, index) => {
      const at = part ? Math.max(0, new Date(one.entered_at) - new Date(part.started_at)) : null;
      const name = words(one.name);
      return h(
        "li",
        { css: { "--grow": Math.max(1, one.seconds) }, class: one.isNow ? "now" : "", "aria-current": one.isNow ? "step" : null },
        h("span", { class: "phase-bar" }),
        hear && at !== null
          ? h("button", { type: "button", class: "plain", title: `Hear from here`, on: { click: () => hear(at) } }, name)
          : h("span", { class: "phase-name" }, name),
        h("span", { class: "quiet" }, duration(one.seconds), index > 0 && one.cause ? ` · ${words(one.cause)}` : ""),
      );
    }),
  );
}

// ---- what was said

function lines(call, hear) {
  if (!call.transcript.length) return empty("Nothing was said yet");
  const start = new Date(call.started_at).getTime();
  return h(
    "ol",
    { class: "lines" },
    call.transcript.map((one, index) => {
      const before = call.transcript[index - 1]?.audio_ms ?? 0; // about where it begins: where the line before ended
      const at = duration((new Date(one.at) - start) / 1000);
      return h(
        "li",
        { class: one.speaker },
        h(
          "div",
          { class: "line-head" },
          h("span", { class: "speaker" }, one.speaker === "caller" ? "Caller" : "Bot"),
          one.interrupted && badge("interrupted", "warn"),
          hear && one.audio_ms !== null
            ? h("button", { type: "button", class: "plain quiet", "aria-label": `Hear it, at ${at}`, on: { click: () => hear(before) } }, at)
            : h("span", { class: "quiet" }, at),
        ),
        h(
          "p",
          {},
          one.key ? ["pressed ", h("kbd", {}, one.key)] : one.text ?? h("span", { class: "quiet" }, "not understood"),
          one.unheard && [" ", h("s", { class: "unheard", title: "Not heard: the caller spoke before" }, one.unheard)],
          one.unheard && h("span", { class: "sr" }, " (the part that is struck out was not heard)"),
        ),
      );
    }),
  );
}

// ---- what was found out

function found(call, hear) {
  const names = Object.keys(call.observations);
  if (!names.length) return empty("This flow observes nothing");
  const isOpen = (name) => ["unasked", "not_needed"].includes(call.observation_status[name]);
  const asked = names.filter((name) => !isOpen(name));
  const open = names.filter(isOpen);
  return [
    h("ul", { class: "observations" }, asked.map((name) => observation(call, name, hear))),
    open.length > 0 &&
      h(
        "p",
        { class: "quiet open-names" },
        "Not found out: ",
        open.map(words).join(", "),
      ),
    judged(call),
  ];
}

/** Where a value came from, if nobody said it. */
const KINDS = { keypad: "pressed on the telephone", default: "by default", tool: "from a tool", rule: "by a rule" };

/** A list of things is a list. */
const shownValue = (one) =>
  Array.isArray(one) && one.some((inner) => inner !== null && typeof inner === "object")
    ? h("ul", {}, one.map((inner) => h("li", {}, value(inner))))
    : value(one);

function observation(call, name, hear) {
  const evidence = call.evidence[name];
  const status = call.observation_status[name];
  const at = evidence?.audio_ms ?? null;
  return h(
    "li",
    {},
    h(
      "div",
      { class: "observation-head" },
      h("span", { class: "quiet" }, words(name)),
      status !== "filled" && statusBadge(status),
      evidence && evidenceBadge(evidence.state),
    ),
    h("div", { class: "observation-value" }, shownValue(call.observations[name])),
    evidence?.quote && h("q", { class: "quote" }, evidence.quote),
    evidence && !evidence.quote && h("span", { class: "quiet" }, KINDS[evidence.kind] ?? words(evidence.kind)),
    hear && at !== null && evidence.kind === "speech"
      ? [" ", h("button", { type: "button", class: "small hear", "aria-label": `Hear the evidence of ${words(name)}, at ${duration(at / 1000)}`, on: { click: () => hear(at) } }, "▶ ", duration(at / 1000))]
      : null,
  );
}

function judged(call) {
  if (!call.judgements.length) return null;
  return [
    h("h3", {}, "Judged"),
    h(
      "ul",
      { class: "observations" },
      call.judgements.map((one) =>
        h(
          "li",
          {},
          h("div", { class: "observation-head" }, h("span", {}, words(one.criterion)), badge(one.holds ? "holds" : "does not hold", one.holds ? "good" : ""), evidenceBadge(one.state)),
          one.quote && h("q", { class: "quote" }, one.quote),
        ),
      ),
    ),
  ];
}

// ---- more

function latency(call) {
  if (!call.latency.length) return empty("No turn was answered yet");
  const points = call.latency.map((one) => ({ label: `Turn ${one.turn}`, value: one.response_ms }));
  return overTime("Wait for an answer, by turn", points, { format: ms, name: "Turn", column: "Wait" });
}

function quality(call) {
  const line = call.line;
  if (!line) return empty("The line is measured when the call ends");
  return facts(
    ["Caller's audio", duration(line.caller_ms / 1000)],
    ["Level", line.level_dbov === null ? null : `${number(line.level_dbov)} dBov`],
    ["Clipped", `${number(line.clipped * 100)} %`],
    ["Gaps from the caller", `${number(line.gaps)}, ${ms(line.gap_ms)} in sum`],
    ["Silence in the bot's speech", `${number(line.underruns)}, ${ms(line.underrun_ms)} in sum`],
    ["Interruptions", line.barge_in_ms.times ? `${line.barge_in_ms.times}, silent after ${ms(line.barge_in_ms.median)}` : "none"],
  );
}

function cost(call) {
  const some = Object.entries(call.tokens);
  if (!some.length) return empty("Tokens are counted when answers end");
  return [
    h("p", { class: "lead" }, h("strong", {}, money(call.cost_usd)), h("span", { class: "quiet" }, " of the model, an estimate by its prices")),
    table("Tokens", [{ name: "Tokens", cell: ([name]) => words(name) }, { name: "Count", cell: ([, count]) => number(count), class: "num" }], some),
  ];
}

function tools(call) {
  const transfer = call.transfer;
  return [
    call.tools.length
      ? table(
          "Tools that were called",
          [
            { name: "Tool", cell: (one) => one.tool },
            { name: "Result", cell: (one) => (one.ok ? badge("answered", "good") : badge("failed", "bad")) },
            { name: "Took", cell: (one) => ms(one.took_ms), class: "num" },
            { name: "At", cell: (one) => when(one.at), class: "nowrap" },
          ],
          call.tools,
        )
      : empty("No tool was called"),
    call.statements.length > 0 && [
      h("h3", {}, "Had to be said, word for word"),
      h("ul", { class: "observations" }, call.statements.map((one) => h("li", {}, h("div", { class: "observation-head" }, words(one.name), one.heard ? badge("heard to its end", "good") : badge("not heard", "warn")), one.heard && h("q", { class: "quote" }, one.heard)))),
    ],
    transfer && [h("h3", {}, "Transfer"), facts(["To", words(transfer.target)], ["Number", transfer.number], ["Result", words(transfer.result)], ["Talked", duration(transfer.talk_s)])],
    call.messages.length > 0 && [
      h("h3", {}, "Text messages"),
      h("ul", { class: "observations" }, call.messages.map((one) => h("li", {}, text(one.text), " ", one.problem ? badge(words(one.problem), "bad") : badge("sent", "good")))),
    ],
  ];
}

function posts(call) {
  if (!call.deliveries.length) return empty("Nothing was posted", "The report is posted when the call ends.");
  return table(
    "Deliveries of this call",
    [
      { name: "To", cell: (one) => one.url },
      { name: "State", cell: (one) => deliveryBadge(one.state) },
      { name: "Attempts", cell: (one) => number(one.attempts), class: "num" },
      { name: "Answer", cell: (one) => text(one.status ?? one.reason) },
      { name: "Tried", cell: (one) => when(one.tried), class: "nowrap" },
    ],
    call.deliveries,
    { to: () => `/deliveries?call_sid=${encodeURIComponent(call.call_sid)}` },
  );
}

function details(call) {
  return facts(
    ["Call", h("code", {}, call.call_sid)],
    ["Flow", `${call.flow}, version ${call.flow_version}`],
    ["Direction", call.direction],
    ["Started", whenWhole(call.started_at)],
    ["Answered", call.answered_at && whenWhole(call.answered_at)],
    ["Answered by", call.answered_by && words(call.answered_by)],
    ["Ended", call.ended_at && whenWhole(call.ended_at)],
    ["Because", call.ended_reason && words(call.ended_reason)],
    ["Outcome", call.outcome && words(call.outcome)],
    ["Variables", Object.keys(call.variables).length ? value(call.variables) : null],
    ["Passed on", call.passed_on.length ? call.passed_on.map((one) => `${words(one.to)} ${one.target ?? ""}: ${words(one.status)}`).join("; ") : null],
    ["Report", call.state === "ended" ? h("a", { href: path`/calls/${call.call_sid}/report`, target: "_blank", rel: "noreferrer" }, "JSON") : null],
  );
}

// ---- the journal

function makeJournal(callSid, call, signal) {
  const rows = h("tbody", {});
  const more = h("div", { class: "pager" });
  const element = h(
    "div",
    {},
    h(
      "div",
      { class: "table-wrap journal" },
      h(
        "table",
        {},
        h("caption", { class: "sr" }, "Journal"),
        h("thead", {}, h("tr", {}, ["At", "What", "Facts"].map((name) => h("th", { scope: "col" }, name)))),
        rows,
      ),
    ),
    more,
  );
  const row = (entry) =>
    h(
      "tr",
      {},
      h("td", { class: "nowrap quiet" }, `${(entry.at_ms / 1000).toFixed(2)} s`),
      h("td", { class: "nowrap" }, words(entry.kind)),
      h("td", { class: "mono" }, brief(entry.body)),
    );
  const isLive = call.state === "live"; // then the tail brings all of it, from the first entry on
  async function page(after) {
    try {
      const { entries, next } = await get(path`/calls/${callSid}/journal`, { after, limit: JOURNAL_ROWS }, { signal });
      add(rows, entries.map(row));
      fill(more, next !== null && h("button", { type: "button", on: { click: () => page(next) } }, "More"));
    } catch (error) {
      if (!signal.aborted) fill(more, errorLine(error, () => page(after)));
    }
  }
  return {
    open() {
      if (!isLive) page(0);
      return element;
    },
    add: (entry) => rows.append(row(entry)),
  };
}

const brief = (body) =>
  Object.entries(body ?? {})
    .filter(([, one]) => one !== null && one !== "" && !(Array.isArray(one) && !one.length))
    .map(([name, one]) => `${name}=${typeof one === "object" ? JSON.stringify(one) : one}`)
    .join("  ");
