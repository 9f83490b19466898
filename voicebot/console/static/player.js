// The player of a call's recording. It is fetched when somebody wants to hear it: who hears is written down.

import { ask, path } from "./api.js";
import { fill, h } from "./dom.js";
import { duration, number } from "./format.js";
import { errorLine } from "./parts.js";
import { draw, readWav } from "./wave.js";

/**
 * @param {string} callSid
 * @param {{signal: AbortSignal, marks: number[], length: number|null}} options `marks` are seconds at which phases
 *   began; `length` the duration in seconds, as far as it is known before
 * @returns {{element: HTMLElement, playAt: (ms: number) => Promise<void>}}
 */
export function makePlayer(callSid, { signal, marks, length }) {
  const audio = h("audio", { preload: "auto" });
  const canvas = h("canvas", { class: "wave", "aria-hidden": "true" });
  const toggle = h("button", { type: "button", class: "primary play" }, "Play");
  const position = h("input", { type: "range", min: 0, max: 1, step: 0.1, value: 0, "aria-label": "Position" });
  const time = h("span", { class: "nowrap" });
  const speed = h(
    "select",
    { "aria-label": "Speed", class: "speed" },
    [1, 1.25, 1.5, 2].map((rate) => h("option", { value: rate }, `${number(rate)}×`)),
  );
  const told = h("div", { role: "status" });
  const element = h("div", { class: "player" }, told);
  let wave = null;
  let loading = null;

  const show = () => {
    if (!wave) return;
    const at = audio.currentTime;
    position.value = at;
    position.setAttribute("aria-valuetext", `${duration(at)} of ${duration(wave.duration)}`);
    time.textContent = `${duration(at)} / ${duration(wave.duration)}`;
    toggle.textContent = audio.paused ? "Play" : "Pause";
    draw(canvas, wave.sides, at / wave.duration, marks.map((mark) => mark / wave.duration));
  };

  async function fetched() {
    fill(told, h("p", { class: "quiet" }, "Loading the recording…"));
    const blob = await (await ask(path`/calls/${callSid}/recording`, { headers: { Accept: "audio/wav" }, signal })).blob();
    wave = readWav(await blob.arrayBuffer());
    const url = URL.createObjectURL(blob);
    signal.addEventListener("abort", () => {
      audio.pause();
      URL.revokeObjectURL(url);
    });
    audio.src = url;
    position.max = wave.duration;
    const legend = h(
      "div",
      { class: "legend quiet", "aria-hidden": "true" },
      h("span", { class: "caller" }, "Caller"),
      h("span", { class: "bot" }, "Bot"),
    );
    fill(element, legend, canvas, h("div", { class: "controls" }, toggle, position, time, speed), audio);
    new ResizeObserver(show).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show, { signal });
    show();
  }

  /** The recording, once; after a failure the next click tries again. */
  const load = () =>
    (loading ??= fetched().catch((error) => {
      loading = null;
      if (!signal.aborted) fill(told, errorLine(error));
      throw error;
    }));

  for (const event of ["timeupdate", "play", "pause", "ended", "seeked"]) audio.addEventListener(event, show);
  toggle.addEventListener("click", () => (audio.paused ? audio.play() : audio.pause()));
  position.addEventListener("input", () => (audio.currentTime = Number(position.value)));
  speed.addEventListener("change", () => (audio.playbackRate = Number(speed.value)));
  canvas.addEventListener("click", ({ offsetX }) => {
    audio.currentTime = (offsetX / canvas.clientWidth) * wave.duration;
  });

  async function playAt(ms) {
    try {
      await load();
      audio.currentTime = ms / 1000;
      await audio.play();
    } catch (error) {
      if (!signal.aborted && wave) fill(told, errorLine(error));
    }
  }

  fill(
    told,
    h("button", { type: "button", on: { click: () => load().catch(() => {}) } }, `Load the recording${length ? ` (${duration(length)})` : ""}`),
    h("span", { class: "quiet" }, " Who hears it stands in the log."),
  );
  return { element, playAt };
}
