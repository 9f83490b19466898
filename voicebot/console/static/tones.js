// Which states are good, which are to be looked at: the same colour for the same thing on all pages.

import { words } from "./format.js";
import { badge } from "./parts.js";

const ENDS = {
  ...{ completed: "good", caller_finished: "good", transferred: "good" },
  ...{ caller_hung_up: "", closed: "", canceled: "", voicemail: "", busy: "", no_answer: "" },
  ...{ error: "bad", model_failed: "bad", failed: "bad", connection_lost: "bad", transfer_failed: "bad" },
};
const DELIVERIES = { delivered: "good", pending: "warn", dead: "bad", disabled: "bad" };
const EVIDENCE = { confirmed: "good", contradicted: "bad", provisional: "warn", unverifiable: "warn" };
const STATUSES = { filled: "good", refused: "bad", unasked: "", not_needed: "" };

/** How a call has ended: "good", "bad", "warn" for what should not be often, "" for what is nobody's fault. */
export const endTone = (reason) => ENDS[reason] ?? "warn";

/** What came of a call, in one badge. */
export function outcomeBadge(call) {
  if (call.state === "live") return badge("live", "live");
  if (call.outcome) return badge(words(call.outcome), "done"); // the flow's own word: only it knows if that is good
  return badge(words(call.ended_reason), endTone(call.ended_reason));
}

export const deliveryBadge = (state) => badge(words(state), DELIVERIES[state]);
export const evidenceBadge = (state) => badge(words(state), EVIDENCE[state]);
export const statusBadge = (status) => badge(words(status), STATUSES[status]);
