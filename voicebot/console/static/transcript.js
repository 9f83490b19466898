// What is said in a conversation that runs: the bot's words as they are made, and then what of them was heard.

import { h } from "./dom.js";

const AT_END_PX = 80; // who has scrolled up by more than that reads, and is left there

export class Transcript {
  #said = new Map(); // item_id → the bot's line
  #speaking = null; // the line of what the caller says now, which is not transcribed yet

  constructor() {
    this.element = h("ol", { class: "said-lines", tabindex: "0", "aria-label": "Transcript" });
  }

  clear() {
    this.#said.clear();
    this.#speaking = null;
    this.element.replaceChildren();
  }

  /** The caller begins or ceases to speak. */
  speech(isSpeaking) {
    if (!isSpeaking) {
      if (this.#speaking) this.#speaking.words.textContent = "…";
      return;
    }
    this.#speaking?.element.remove();
    this.#speaking = this.#line("caller", "speaking …");
    this.#speaking.element.classList.add("pending");
  }

  /** A message `transcript`. */
  said({ speaker, item_id: item, text, final }) {
    if (speaker === "caller") {
      const line = this.#speaking ?? this.#line("caller", "");
      this.#speaking = null;
      line.element.classList.remove("pending");
      line.words.textContent = text;
      return;
    }
    const line = this.#said.get(item) ?? this.#botLine(item);
    if (line.isOver) return;
    line.text = final ? text : line.text + text;
    line.words.textContent = line.text;
    this.#follow();
  }

  /** A message `heard`: the utterance is over, and so much of it has reached the caller. */
  heard({ item_id: item, text, heard_text: heard, interrupted }) {
    const isWithoutWords = !this.#said.has(item); // exact words are only told of when they were heard
    const line = this.#said.get(item) ?? this.#botLine(item);
    if (isWithoutWords) this.#beforeUnheard(line);
    line.isOver = true;
    line.element.classList.remove("pending");
    line.words.replaceChildren(heard);
    if (!interrupted) return;
    const unheard = text.startsWith(heard) ? text.slice(heard.length) : "";
    if (unheard) line.words.append(h("del", { title: "not heard" }, unheard));
    line.element.append(h("span", { class: "note" }, unheard ? "interrupted; the rest was not heard" : "interrupted"));
    this.#follow();
  }

  /** Something that happens beside what is said: a key, a tool, a phase. */
  note(text) {
    this.element.append(h("li", { class: "event" }, text));
    this.#follow();
  }

  /** Nothing more comes. */
  end() {
    this.#speaking?.element.remove();
    this.#speaking = null;
    for (const { element, isOver } of this.#said.values()) if (!isOver) element.classList.remove("pending");
  }

  /** What was heard comes before what is made already, and yet to be heard. */
  #beforeUnheard(line) {
    const later = [...this.#said.values()].find((one) => one !== line && !one.isOver);
    later?.element.before(line.element);
  }

  #botLine(item) {
    const line = this.#line("bot", "");
    line.element.classList.add("pending");
    this.#said.set(item, line);
    return line;
  }

  #line(speaker, text) {
    const words = h("span", { class: "words" }, text);
    const who = h("span", { class: "who" }, speaker === "bot" ? "Bot" : "You");
    const line = { element: h("li", { class: `line ${speaker}` }, who, words), words, text, isOver: false };
    this.element.append(line.element);
    this.#follow();
    return line;
  }

  #follow() {
    const { scrollHeight, scrollTop, clientHeight } = this.element;
    if (scrollHeight - scrollTop - clientHeight < AT_END_PX + clientHeight / 2) this.element.scrollTop = scrollHeight;
  }
}
