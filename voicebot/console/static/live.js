// A call's journal as it grows: the server-sent events of `/calls/{call_sid}/live`, read with fetch, since EventSource
// gives no events of names that are not known beforehand and says nothing of why it was refused.

import { ApiError, ask, path } from "./api.js";
import { pause } from "./parts.js";

const SOONEST_S = 1;
const LATEST_S = 15;

/**
 * Follow a call to its end. Comes back after a lost connection, from the entry after the last one.
 *
 * @param {string} callSid
 * @param {{signal: AbortSignal, onEntry: (entry) => void, onState: ("live"|"lost") => void}} options
 * @returns {Promise<void>} when the call is over, or nobody follows any more
 */
export async function follow(callSid, { signal, onEntry, onState }) {
  let last = 0;
  let wait = SOONEST_S;
  while (!signal.aborted) {
    try {
      const answer = await ask(path`/calls/${callSid}/live`, {
        signal,
        headers: { Accept: "text/event-stream", "Last-Event-ID": String(last) },
      });
      onState("live");
      for await (const event of events(answer.body)) {
        wait = SOONEST_S;
        if (event.kind === "end") return;
        last = Number(event.id) || last;
        onEntry(JSON.parse(event.text));
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && [401, 403, 404].includes(error.status)) throw error;
    }
    onState("lost");
    await pause(wait, signal);
    wait = Math.min(LATEST_S, wait * 2);
  }
}

/** https://html.spec.whatwg.org/multipage/server-sent-events.html, as far as our server speaks it. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = { id: "", kind: "message", text: "" };
      for (const one of block.split("\n")) {
        const [, name, said] = /^([^:]*): ?(.*)$/.exec(one) ?? [];
        if (name === "id") event.id = said;
        else if (name === "event") event.kind = said;
        else if (name === "data") event.text += said;
      }
      if (event.text) yield event;
    }
  }
}
