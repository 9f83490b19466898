// Deliveries: what is posted to whom, what became of it, and once more.

import { get, may, path, post } from "../api.js";
import { add, announce, fill, h } from "../dom.js";
import { number, text, when } from "../format.js";
import { action, badge, busy, card, empty, errorLine, field, keep, link, select, table } from "../parts.js";
import { deliveryBadge } from "../tones.js";

export const pattern = "/deliveries";
export const title = "Deliveries";

const EVERY_S = 4;
const ROWS = 50;
const STATES = [["", "All"], ["pending", "Pending"], ["delivered", "Delivered"], ["dead", "Given up"], ["disabled", "Receiver disabled"]];

export function show(main, { query, signal, session }) {
  const state = select("state", STATES, query.get("state") ?? "");
  const callSid = query.get("call_sid");
  const body = h("div", {}, busy());
  const count = h("span", { class: "quiet" });
  add(
    main,
    h("div", { class: "page-head" }, h("h1", {}, title)),
    card(
      "Posted to receivers",
      [
        h(
          "div",
          { class: "filters" },
          field("State", state),
          callSid && h("p", {}, "Of one call. ", link("/deliveries", "All calls")),
        ),
        body,
      ],
      { more: count, class: "history" },
    ),
  );

  let cursors = [null];
  let shown = "";
  let at = 0;
  async function load() {
    const mine = ++at;
    try {
      const wanted = { state: state.value, call_sid: callSid, cursor: cursors.at(-1), limit: ROWS };
      const { deliveries, next } = await get("/deliveries", wanted, { signal });
      const now = JSON.stringify([cursors, state.value, deliveries, next]);
      if (mine !== at || now === shown) return;
      shown = now;
      const focused = document.activeElement?.closest?.("[data-key]")?.dataset.key;
      fill(body, rows(deliveries), pager(next));
      if (focused) body.querySelector(`[data-key="${CSS.escape(focused)}"] button`)?.focus();
    } catch (error) {
      if (mine === at && !signal.aborted) fill(body, errorLine(error, load));
      shown = "";
    }
  }
  state.addEventListener("change", () => {
    cursors = [null];
    const behind = new URLSearchParams(Object.entries({ state: state.value, call_sid: callSid ?? "" }).filter(([, one]) => one)).toString();
    history.replaceState(null, "", behind ? `/console/deliveries?${behind}` : "/console/deliveries");
    load();
  });

  const retry = (one) =>
    h(
      "span",
      { data: { key: one.webhook_id } },
      action("Send again", async () => {
        await post(path`/deliveries/${one.webhook_id}/retry`, {}, { signal });
        announce("It is sent again.");
        await load();
      }, { class: "small" }),
    );

  function rows(deliveries) {
    if (!deliveries.length)
      return state.value || callSid
        ? empty("No delivery is like that")
        : empty("Nothing was posted yet", "Set VOICEBOT_WEBHOOK_URL, or give a flow a receiver.");
    const columns = [
      { name: "Created", cell: (one) => when(one.created), class: "nowrap" },
      { name: "To", cell: (one) => text(one.url) },
      { name: "State", cell: (one) => deliveryBadge(one.state) },
      { name: "Attempts", cell: (one) => number(one.attempts), class: "num" },
      { name: "Answer", cell: (one) => [one.status && badge(String(one.status), one.status < 300 ? "good" : "bad"), " ", one.reason] },
      { name: "Next try", cell: (one) => (one.state === "pending" ? when(one.due) : ""), class: "nowrap" },
      { name: "Call", cell: (one) => link(`/calls/${encodeURIComponent(one.call_sid)}`, "Open", { "aria-label": `Open call ${one.call_sid}` }), class: "nowrap" },
    ];
    if (may(session, "operate")) columns.push({ name: "", cell: (one) => (one.state === "delivered" ? "" : retry(one)) });
    return table("Deliveries, latest first", columns, deliveries);
  }

  const turn = (changed) => {
    cursors = changed;
    load();
  };
  const pager = (next) =>
    cursors.length > 1 || next
      ? h(
          "nav",
          { class: "pager", "aria-label": "Pages of deliveries" },
          h("span", { class: "quiet" }, `Page ${cursors.length}`),
          h("button", { type: "button", disabled: cursors.length === 1, on: { click: () => turn(cursors.slice(0, -1)) } }, "Newer"),
          h("button", { type: "button", disabled: !next, on: { click: () => turn([...cursors, next]) } }, "Older"),
        )
      : null;

  return keep(load, EVERY_S, signal);
}
