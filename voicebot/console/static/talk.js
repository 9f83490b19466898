// One conversation as it is had in the page: what its events mean for what is shown. `pages/talk.js` begins it.

import { announce, fill, h } from "./dom.js";
import { duration, percent, words } from "./format.js";
import { picture } from "./graph.js";
import { Observed } from "./observed.js";
import { card, link } from "./parts.js";
import { Transcript } from "./transcript.js";

const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];
const LONGEST_TURN = 4000; // characters; more is refused
const TICK_MS = 250;
const DEAF_S = 10; // of a microphone that gives nothing at all
const NOTHING = 0.0005; // a level below which there is no microphone, but a switch that is off

const ENDS = {
  completed: "The conversation has come to its end.",
  caller_finished: "You wanted to end it, and the bot said goodbye.",
  caller_hung_up: "You have hung up.",
  transferred: "On the phone, you would be joined to a person now.",
  transfer_failed: "Nobody could be reached for you.",
  silence: "Nobody said anything for too long.",
  duration_limit: "It has lasted as long as it may.",
  cost_limit: "It has cost what it may.",
  model_failed: "The model cannot be reached. Is its key set, and its service up? “voicebot doctor” says what is missing.",
  connection_lost: "The connection was lost, and did not come back in time.",
  never_connected: "The connection was never made.",
  closed: "It is outside the hours of this flow.",
  shutdown: "The server had to stop.",
  error: "Something has failed in the server; its log says what.",
};
const FAILED = new Set(["", "model_failed", "connection_lost", "shutdown", "error"]); // "" is an end without a word
const CLOSES = {
  1008: "The server closed it: this page sent more than it may.",
  1009: "The server closed it: a message was too long.",
  4000: "The conversation goes on in another window.",
};

export class TalkView {
  #conversation = null;
  #picture = null;
  #path = [];
  #transcript = new Transcript();
  #observed = new Observed();
  #graph = h("div", { class: "graph" });
  #name = h("strong", {});
  #status = h("p", { class: "status", role: "status" });
  #clock = h("span", { class: "clock", role: "timer", "aria-label": "Duration" }, "0:00");
  #phase = h("strong", { class: "phase-name" });
  #progress = h("progress", { max: 1, value: 0, "aria-label": "Progress" });
  #share = h("span", { class: "quiet" }, percent(0));
  #bar = h("span", {});
  #level = h("span", { class: "level", "aria-hidden": "true" }, this.#bar);
  #mute = h("button", { type: "button", "aria-pressed": "false", on: { click: () => this.#toggle() } }, "Mute");
  #hangUp = h("button", { type: "button", class: "danger", on: { click: () => this.#leave() } }, "Hang up");
  #turn = h("input", {
    name: "turn",
    autocomplete: "off",
    maxlength: LONGEST_TURN,
    placeholder: "Write instead of speaking",
    "aria-label": "Your turn, in writing",
  });
  #send = h("button", { type: "submit" }, "Send");
  #controls = h("div", { class: "inline" }, this.#level, this.#mute, this.#hangUp);
  #pad = h("details", { class: "pad" });
  #line;
  #result = h("section", { class: "card result", tabindex: "-1", hidden: true, "aria-label": "How it ended" });
  #ended = null;
  #heardAt = 0;
  #timer = 0;

  /** @param {() => void} onOver when nothing more comes */
  constructor(onOver) {
    this.onOver = onOver;
    const write = h("form", { class: "turn" }, this.#turn, this.#send);
    write.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#write();
    });
    this.#makePad();
    this.#line = h(
      "section",
      { class: "card line-card", "aria-label": "The line", hidden: true },
      h("div", { class: "inline phone-head" }, this.#name, this.#status, this.#clock, h("span", { class: "push" }, this.#controls)),
      h("div", { class: "inline" }, "Phase", this.#phase, this.#progress, this.#share),
    );
    this.element = h(
      "div",
      { class: "talk stack", hidden: true },
      this.#line,
      this.#result,
      h(
        "div",
        { class: "columns" },
        card("What is said", [this.#transcript.element, write, this.#pad], { class: "said" }),
        h("div", { class: "stack" }, card("Where it is", this.#graph), card("What is known", this.#observed.element)),
      ),
    );
  }

  get isOver() {
    return this.#conversation === null;
  }

  /** Make everything ready for a flow: `outline` and `form` as the API gives them. */
  prepare(outline, form) {
    this.#name.textContent = outline.flow;
    this.#picture = picture(outline, { brief: true });
    fill(this.#graph, this.#picture.element);
    this.#path = [];
    this.#phase.textContent = outline.initial_phase;
    this.#picture.show(null, []);
    this.#observed.begin(form.observations ?? []);
    this.#transcript.clear();
    this.#ended = null;
    this.#result.hidden = true;
    this.#setProgress(0);
    this.#pad.open = (form.observations ?? []).some((one) => one.keypad);
    this.element.hidden = false;
    this.#line.hidden = true;
    this.#setLive(false);
  }

  /** What is going on, in a line; `tone` as that of a badge. */
  say(text, tone = "") {
    this.#status.textContent = text;
    this.#status.className = `status ${tone}`;
  }

  /** Show a conversation. It is connected, or about to be. */
  follow(conversation, sessionId, { speaks }) {
    this.#conversation = conversation;
    this.sessionId = sessionId;
    this.#line.hidden = false;
    this.say("Connecting …");
    this.#level.hidden = this.#mute.hidden = !speaks;
    const on = (kind, take) => conversation.addEventListener(kind, ({ detail }) => take(detail));
    on("hello", ({ resumed }) => this.#open(resumed));
    on("lost", () => this.say("The connection is gone; coming back …", "warn"));
    on("state", (state) => this.#restore(state));
    on("phase", ({ name, previous }) => this.#enter(name, previous));
    on("observation", ({ name, ...found }) => this.#observed.show(name, found));
    on("progress", ({ progress }) => this.#setProgress(progress));
    on("speech", ({ speaking }) => this.#transcript.speech(speaking));
    on("transcript", (message) => this.#transcript.said(message));
    on("heard", (message) => this.#transcript.heard(message));
    on("key", ({ digit }) => this.#transcript.note(`key ${digit}`));
    on("tool", (message) => this.#tool(message));
    on("transfer", ({ target }) => this.#transcript.note(`to be joined to ${target}`));
    on("model", ({ connected }) => this.#model(connected));
    on("error", ({ problem }) => this.#transcript.note(problem));
    on("ended", (message) => (this.#ended = message));
    on("closed", ({ code }) => this.#over(ENDS[this.#ended?.reason] ?? CLOSES[code] ?? "The connection is closed."));
  }

  /** It could not be begun. */
  drop() {
    this.#conversation = null;
    this.#line.hidden = true;
  }

  hangUp() {
    this.#conversation?.hangUp();
  }

  // ---- what comes

  #open(isResumed) {
    this.say(isResumed ? "Connected again." : "Connected.", "good");
    if (isResumed) return;
    this.#setLive(true);
    const began = performance.now();
    this.#heardAt = began;
    this.#timer = setInterval(() => this.#tick(began), TICK_MS);
    (this.#mute.hidden ? this.#turn : this.#mute).focus({ preventScroll: true });
  }

  #restore({ phase, progress, observations }) {
    if (this.#path.at(-1) !== phase) this.#path.push(phase);
    this.#showPhase(phase);
    this.#setProgress(progress);
    for (const [name, found] of Object.entries(observations)) this.#observed.show(name, found);
  }

  #enter(name, previous) {
    if (previous && this.#path.at(-1) !== previous) this.#path.push(previous);
    if (this.#path.at(-1) !== name) this.#path.push(name);
    this.#showPhase(name);
    if (!previous) return;
    this.#transcript.note(`phase ${name}`);
    announce(`Phase ${words(name)}`);
  }

  #showPhase(name) {
    this.#phase.textContent = name;
    this.#picture.show(name, this.#path);
  }

  #setProgress(share) {
    this.#progress.value = share;
    this.#share.textContent = percent(share);
  }

  #tool({ tool, state, ok, took_ms: tookMs }) {
    if (state === "started") return;
    this.#transcript.note(ok ? `${tool} answered in ${Math.round(tookMs)} ms` : `${tool} failed`);
  }

  #model(isConnected) {
    if (!isConnected) this.say("The model is gone; it is being reached again …", "warn");
    else if (this.#conversation) this.say("Connected.", "good");
  }

  #over(text) {
    clearInterval(this.#timer);
    this.#conversation = null;
    this.#setLive(false);
    this.#bar.style.width = "0";
    this.#transcript.end();
    this.say("Over.");
    const isKnown = this.sessionId && this.#ended;
    fill(
      this.#result,
      h("p", { class: FAILED.has(this.#ended?.reason ?? "") ? "error" : "" }, text),
      h(
        "p",
        { class: "inline" },
        this.#ended && ["Outcome", h("strong", { class: "outcome" }, words(this.#ended.outcome ?? "none"))],
        isKnown && link(`/calls/${encodeURIComponent(this.sessionId)}`, "Open the call", { class: "button primary" }),
      ),
    );
    this.#result.hidden = false;
    this.onOver();
    this.#result.focus({ preventScroll: true });
    this.#result.scrollIntoView({ block: "center" });
    announce(text);
  }

  #tick(began) {
    const now = performance.now();
    this.#clock.textContent = duration((now - began) / 1000);
    const conversation = this.#conversation;
    if (!conversation || this.#level.hidden) return;
    this.#bar.style.width = `${Math.round(100 * Math.sqrt(conversation.inputLevel))}%`;
    if (conversation.inputLevel > NOTHING || conversation.muted) {
      if (now - this.#heardAt > DEAF_S * 1000) this.say("Connected.", "good");
      this.#heardAt = now;
    } else if (now - this.#heardAt > DEAF_S * 1000) {
      this.say("Nothing comes from the microphone. Is it switched on, and the right one?", "warn");
    }
  }

  // ---- what is done

  #setLive(isLive) {
    for (const one of [this.#mute, this.#hangUp, this.#turn, this.#send]) one.disabled = !isLive;
    for (const one of this.#pad.querySelectorAll("button")) one.disabled = !isLive;
    this.#mute.setAttribute("aria-pressed", "false");
    this.#mute.textContent = "Mute";
  }

  #toggle() {
    if (!this.#conversation) return;
    const isMuted = (this.#conversation.muted = !this.#conversation.muted);
    this.#mute.setAttribute("aria-pressed", String(isMuted));
    this.#mute.textContent = isMuted ? "Muted" : "Mute";
  }

  #leave() {
    this.#hangUp.disabled = true;
    this.say("Hanging up …");
    this.hangUp();
  }

  #write() {
    const text = this.#turn.value.trim();
    if (!text || !this.#conversation) return;
    this.#conversation.write(text);
    this.#turn.value = "";
  }

  #makePad() {
    const press = (key) => this.#conversation?.press(key);
    const buttons = KEYS.map((key) =>
      h("button", { type: "button", "aria-label": `key ${key}`, on: { click: () => press(key) } }, key),
    );
    const keys = h("div", { class: "keys", role: "group", "aria-label": "Keys of a telephone" }, buttons);
    keys.addEventListener("keydown", ({ key, ctrlKey, metaKey, altKey }) => {
      if (KEYS.includes(key) && !ctrlKey && !metaKey && !altKey) press(key);
    });
    this.#pad.append(h("summary", {}, "Keypad"), keys);
  }
}
