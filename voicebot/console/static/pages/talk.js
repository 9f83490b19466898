// Speak with a flow from the browser.

import { ApiError, get, may, path, post } from "../api.js";
import { add, fill, h } from "../dom.js";
import { card, empty, errorLine, field, link, select } from "../parts.js";
import { Conversation, VOICE } from "../realtime.js";
import { TalkView } from "../talk.js";

export const pattern = "/talk";
export const title = "Talk";

const REFUSED = {
  full: "All places are taken. Try again when a call has ended.",
  lagging: "The server is too busy for one more. Try again in a moment.",
  stopping: "This server is about to stop. Try again in a moment.",
  rate: "That was too often. Wait a moment.",
};
const NO_MICROPHONE = {
  NotAllowedError: "The microphone is not allowed. Allow it for this page (beside its address), and begin again.",
  NotFoundError: "There is no microphone. Plug one in, and begin again.",
  NotReadableError: "The microphone is in use by another program. Close that, and begin again.",
};

export async function show(main, { query, session, signal }) {
  add(main, h("h1", {}, title));
  if (!may(session, "operate")) {
    add(main, card("Not with this token", empty("It may only read.", "To talk, log in with a token of scope operate.")));
    return;
  }
  const { flows } = await get("/flows", {}, { signal });
  if (!flows.length) {
    add(main, card("Nobody to talk to", empty("There is no flow that can be used.", link("/flows", "What is wrong"))));
    return;
  }
  const names = flows.map(({ name }) => name);
  const chosen = names.includes(query.get("flow")) ? query.get("flow") : names[0];
  const flow = select("flow", names.map((name) => [name, name]), chosen);
  const goal = h("p", { class: "quiet" });
  const caller = h("input", {
    name: "caller",
    inputmode: "tel",
    placeholder: "+390612345678",
    pattern: "\\+[1-9][0-9]{6,14}",
    title: "with country code, as in +390612345678",
    autocomplete: "off",
  });
  const silent = h("input", { type: "checkbox", name: "silent", id: "talk-silent" });
  const start = h("button", { type: "submit", class: "primary" }, "Start talking");
  const told = h("div", {});
  const form = h(
    "form",
    { class: "card begin" },
    h("div", { class: "filters" }, field("Flow", flow), field("Your number, if the flow shall know one", caller)),
    goal,
    h(
      "div",
      { class: "inline" },
      start,
      h("label", { class: "inline", for: silent.id }, silent, "without a microphone: I write"),
    ),
    told,
  );
  const view = new TalkView(() => {
    form.hidden = form.inert = false;
    start.textContent = "Talk again";
  });
  const describe = async () => {
    const name = flow.value;
    goal.textContent = flows.find((one) => one.name === name)?.goal ?? "";
    try {
      const [outline, json] = await Promise.all([
        get(path`/flows/${name}/outline`, {}, { signal }),
        get(path`/flows/${name}`, {}, { signal }),
      ]);
      if (name === flow.value) view.prepare(outline, json);
    } catch (error) {
      if (!signal.aborted) fill(told, inWords(error));
    }
  };
  flow.addEventListener("change", describe);
  silent.addEventListener("change", () => (start.textContent = silent.checked ? "Start writing" : "Start talking"));
  add(main, form, view.element);
  await describe();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    fill(told);
    form.inert = true;
    try {
      await describe(); // it may have been changed since
      await begin(view, { flow: flow.value, caller: caller.value.trim(), speaks: !silent.checked, signal });
      form.hidden = !view.isOver;
    } catch (error) {
      form.inert = false;
      view.drop();
      if (!signal.aborted) fill(told, inWords(error));
    }
  });
  signal.addEventListener("abort", () => view.hangUp());
}

/** From the button to the open line. The microphone comes first: nobody is greeted while the browser still asks. */
async function begin(view, { flow, caller, speaks, signal }) {
  const stream = speaks ? await microphone() : null;
  const stop = () => stream?.getTracks().forEach((track) => track.stop());
  try {
    const begun = await post("/conversations", caller ? { flow, caller } : { flow }, { signal });
    const address = new URL(begun.websocket_url);
    if (address.host !== location.host) throw new ElsewhereError(address);
    const conversation = new Conversation(begun.websocket_url, begun.ticket);
    view.follow(conversation, begun.session_id, { speaks });
    await conversation.connect();
    if (stream) await conversation.openMicrophone(stream);
    if (signal.aborted) conversation.hangUp();
  } catch (error) {
    stop();
    throw error;
  }
}

/** The voice of whoever sits here. */
async function microphone() {
  if (!navigator.mediaDevices) throw new DOMException("no secure page", "SecurityError");
  return navigator.mediaDevices.getUserMedia({ audio: VOICE });
}

/** Sockets go to the address of the settings, and pages of another one are kept out. */
class ElsewhereError extends Error {
  constructor(address) {
    const origin = `${address.protocol === "wss:" ? "https" : "http"}://${address.host}`;
    super(`Open the console at ${origin}/console: conversations are had there (VOICEBOT_PUBLIC_URL).`);
    this.origin = origin;
  }
}

function inWords(error) {
  if (error instanceof ApiError) return errorLine(new ApiError(error.status, error.code, REFUSED[error.code] ?? error.message));
  const told = error instanceof DOMException ? (NO_MICROPHONE[error.name] ?? unsafe(error)) : error.message;
  const hint = error instanceof DOMException ? " Or write: choose that above." : "";
  return h("p", { class: "error", role: "alert" }, told + hint);
}

function unsafe(error) {
  if (error.name !== "SecurityError") return `The microphone cannot be had: ${error.message}.`;
  return "Browsers give a microphone to pages of https:// and localhost only; this is neither.";
}
