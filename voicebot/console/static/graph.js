// A flow as a picture, from `GET /flows/{name}/outline`: phases as boxes, ways as arrows. It can show where a call is.
// The same stands beside it as a list (`listed`), for who cannot see it; so the picture itself is one image to them.

import { h, svg } from "./dom.js";
import { layout } from "./layout.js";

const ANYWHERE = "any phase"; // no phase is named so
const FONT = "system-ui, sans-serif";
const LINE = 16; // height of a line in a box, of 12 px
const LABEL = 14; // of a line of a label, of 11 px
const PAD = 10;
const BESIDE = 6; // between a way and its label
const WIDEST = { box: 190, label: 150, brief: 120 }; // of texts
const MARGIN = 8; // around all
let pictures = 0; // so that the arrowheads of two pictures on a page have two names

/**
 * @param {object} outline as the API gives it
 * @param {{brief?: boolean}} options `brief`: names of phases alone, and the ways between them without words
 * @returns {{element: SVGSVGElement, show: (current: string | null, path: string[]) => void, begins: number}} `show`
 *   lights up the phase that a call is in, those that it has been through, and the ways that it took; `begins` is how
 *   far from the left the first phase stands
 */
export function picture(outline, { brief = false } = {}) {
  const tip = `tip-${++pictures}`;
  const boxes = boxesOf(outline, brief);
  const ways = merged(outline, brief);
  const placed = layout(boxes, ways, brief ? { across: 18, between: 16 } : {});
  const [width, height] = [placed.width + 2 * MARGIN, placed.height + 2 * MARGIN].map(Math.ceil);
  const arrows = ways.map((way, number) => {
    const { points } = placed.ways[number];
    const shape = { class: `way ${way.kind}`, d: path(points), "marker-end": `url(#${tip})` };
    return points.length ? svg("path", shape, way.label && svg("title", {}, way.label)) : null;
  });
  const drawnBoxes = new Map(boxes.map((box) => [box.id, frame(box, placed.nodes.get(box.id))]));
  const element = svg(
    "svg",
    { class: "flow-graph", viewBox: `${-MARGIN} ${-MARGIN} ${width} ${height}`, width, height, role: "img" },
    svg("title", {}, `Phases of ${outline.flow}`),
    svg(
      "defs",
      {},
      svg(
        "marker",
        { id: tip, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, markerUnits: "userSpaceOnUse", orient: "auto" },
        svg("path", { class: "tip", d: "M0 0L8 4L0 8Z" }),
      ),
    ),
    arrows,
    [...drawnBoxes.values()],
    ways.map((way, number) => label(way, placed.ways[number])),
  );
  const show = (current, been) => {
    for (const [id, box] of drawnBoxes) {
      box.classList.toggle("current", id === current);
      box.classList.toggle("done", id !== current && been.includes(id));
    }
    const taken = new Set(been.slice(1).map((id, before) => `${been[before]} ${id}`));
    ways.forEach(({ start, end }, number) => arrows[number]?.classList.toggle("taken", taken.has(`${start} ${end}`)));
  };
  return { element, show, begins: MARGIN + (placed.nodes.get(boxes[0]?.id)?.x ?? 0) };
}

/** The same in words: every phase with what it is about, and where it leads. */
export function listed(outline) {
  const waysOf = (start) => outline.ways.filter((way) => way.start === start);
  const phase = (name, lines, ways) =>
    h(
      "li",
      {},
      h("strong", {}, name),
      lines.length > 0 && `: ${lines.join("; ")}`,
      ways.length > 0 && h("ul", {}, ways.map((way) => h("li", {}, `to ${way.end}`, because(way)))),
    );
  const common = waysOf(null);
  return h(
    "ol",
    { class: "phase-list" },
    outline.phases.map((one) => phase(one.name, notes(outline, one), waysOf(one.name))),
    (common.length > 0 || outline.anywhere.length > 0) && phase(ANYWHERE, outline.anywhere, common),
  );
}

function notes(outline, phase) {
  const first = phase.name === outline.initial_phase ? ["the call begins here"] : [];
  return [...first, ...phase.lines, ...(phase.ends ? ["the call ends here"] : [])];
}

function because(way) {
  if (!way.label) return "";
  return way.kind === "transition" ? `, when ${way.label}` : `, ${way.label}`;
}

// ---- what is drawn

function boxesOf(outline, brief) {
  const order = outline.phases.toSorted(
    (one, other) => (other.name === outline.initial_phase) - (one.name === outline.initial_phase),
  );
  const boxes = order.map((phase) => {
    const kinds = ["phase", phase.name === outline.initial_phase ? "initial" : "", phase.ends ? "ends" : ""];
    return box(phase.name, brief ? [] : phase.lines, kinds.filter(Boolean).join(" "), brief);
  });
  const common = outline.anywhere.length || outline.ways.some((way) => way.start === null);
  return common && !brief ? [...boxes, box(ANYWHERE, outline.anywhere, "phase anywhere", false)] : boxes;
}

function box(id, lines, kind, brief) {
  const most = brief ? WIDEST.brief : WIDEST.box;
  const names = wrapped(id, most, 600, 12);
  const rest = lines.flatMap((line) => wrapped(line, most, 400, 12));
  const widest = Math.max(...names.map((one) => measure(one, 600, 12)), ...rest.map((one) => measure(one, 400, 12)));
  const rows = [...names.map((text) => ({ text, isName: true })), ...rest.map((text) => ({ text, isName: false }))];
  const width = Math.max(brief ? 64 : 96, Math.ceil(widest) + 2 * PAD);
  return { id, kind, rows, width, height: rows.length * LINE + 2 * PAD - 4 };
}

/** One arrow for each pair of phases, with the words of all ways between them. */
function merged(outline, brief) {
  const found = new Map();
  for (const { start, end, label, kind } of outline.ways) {
    if (start === null && brief) continue;
    const key = JSON.stringify([start, end]);
    const way = found.get(key) ?? { start: start ?? ANYWHERE, end, kind, label: "", lines: [] };
    if (label) way.label += `${way.label && "\n"}${label}`;
    if (label && !brief) way.lines.push(...wrapped(label, WIDEST.label, 400, 11));
    found.set(key, way);
  }
  return [...found.values()].map((way) => ({
    ...way,
    width: way.lines.length ? Math.max(...way.lines.map((line) => measure(line, 400, 11))) + 2 * BESIDE : 0,
    height: way.lines.length * LABEL,
    pull: way.kind === "transition" ? 4 : 1,
  }));
}

function path(points) {
  let d = "";
  points.forEach(({ x, y }, number) => {
    const at = `${round(x)} ${round(y)}`;
    const before = points[number - 1];
    if (!before) d = `M${at}`;
    else if (number % 2) d += before.y === y ? "" : `V${round(y)}`; // a line of no length would turn the arrowhead
    else {
      const middle = round((before.y + y) / 2);
      d += `C${round(before.x)} ${middle} ${round(x)} ${middle} ${at}`;
    }
  });
  return d;
}

function frame(box, { x, y }) {
  const [left, top] = [x - box.width / 2, y - box.height / 2];
  const size = { x: round(left), y: round(top), width: box.width, height: box.height, rx: 8 };
  const texts = box.rows.map(({ text, isName }, number) =>
    svg("text", { class: isName ? "name" : null, x: round(x), y: round(top + PAD + LINE * (number + 0.65)) }, text),
  );
  return svg("g", { class: box.kind }, svg("rect", size), texts);
}

function label(way, { label: { x, y } }) {
  const top = y - way.height / 2;
  return way.lines.map((line, number) =>
    svg("text", { class: "guard", x: round(x + BESIDE), y: round(top + LABEL * (number + 0.8)) }, line),
  );
}

function round(number) {
  return Math.round(number * 10) / 10;
}

// ---- text

const ruler = document.createElement("canvas").getContext("2d");

function measure(text, weight, size) {
  ruler.font = `${weight} ${size}px ${FONT}`;
  return ruler.measureText(text).width;
}

/** A text in lines of at most so many pixels; a word that is longer is broken. */
function wrapped(text, most, weight, size) {
  const lines = [];
  let line = "";
  for (const word of text.split(/\s+|(?<=_)/)) {
    const joined = !line || line.endsWith("_") ? line + word : `${line} ${word}`;
    if (measure(joined, weight, size) <= most) {
      line = joined;
      continue;
    }
    if (line) lines.push(line);
    line = word;
    while (measure(line, weight, size) > most) {
      let fits = line.length - 1;
      while (fits > 1 && measure(line.slice(0, fits), weight, size) > most) fits--;
      lines.push(line.slice(0, fits));
      line = line.slice(fits);
    }
  }
  return line || !lines.length ? [...lines, line] : lines;
}
