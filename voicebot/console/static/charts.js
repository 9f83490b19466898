// Charts in SVG, small on purpose: columns, a line, shares. Each is a figure with the same numbers as a table, which
// screen readers read and anybody can open. Drawings hold no text, so they stretch to any width; labels are HTML.

import { h, svg } from "./dom.js";
import { NONE } from "./format.js";
import { table } from "./parts.js";

const HEIGHT = 100;
const STEP = 10; // units of width for each point

/**
 * Columns over time, or a line where `as` is "line".
 *
 * @param {string} title
 * @param {{label: string, value: number|null}[]} points in order of time; null where nothing is known
 * @param {{format: (value) => string, as?: "columns"|"line", name?: string, column?: string}} options `name` of the
 *   first column of the table, `column` of the second
 */
export function overTime(title, points, { format, as = "columns", name = "Hour", column = title } = {}) {
  const most = Math.max(...points.map((one) => one.value ?? 0), 0);
  const top = most || 1;
  const height = (value) => (value / top) * (HEIGHT - 4);
  const drawing = svg(
    "svg",
    {
      viewBox: `0 0 ${Math.max(points.length, 1) * STEP} ${HEIGHT}`,
      preserveAspectRatio: "none",
      class: "chart",
      "aria-hidden": "true",
      focusable: "false",
    },
    as === "line" ? line(points, height) : null,
    points.map((one, index) => [
      as === "columns" &&
        one.value > 0 &&
        svg("rect", {
          class: "column",
          x: index * STEP + 1.5,
          y: HEIGHT - height(one.value),
          width: STEP - 3,
          height: height(one.value),
        }),
      svg(
        "rect",
        { class: "hover", x: index * STEP, y: 0, width: STEP, height: HEIGHT },
        svg("title", {}, `${one.label}: ${one.value === null ? NONE : format(one.value)}`),
      ),
    ]),
  );
  const rows = points.filter((one) => one.value !== null);
  return h(
    "figure",
    { class: "over-time", "aria-label": title },
    h("div", { class: "plot" }, h("span", { class: "top-value quiet" }, most ? format(most) : ""), drawing),
    h(
      "div",
      { class: "axis quiet", "aria-hidden": "true" },
      [0, Math.floor(points.length / 2), points.length - 1].map((at) => h("span", {}, points[at]?.label ?? "")),
    ),
    asTable(title, [
      { name, cell: (one) => one.label },
      { name: column, cell: (one) => format(one.value), class: "num" },
    ], rows),
  );
}

function line(points, height) {
  const pieces = [[]];
  points.forEach((one, index) => {
    if (one.value === null) pieces.push([]);
    else pieces.at(-1).push([index * STEP + STEP / 2, HEIGHT - 2 - height(one.value)]);
  });
  return pieces
    .filter((piece) => piece.length)
    .map((piece) => {
      const [[x, y]] = piece;
      const given = piece.length > 1 ? piece : [[x - 3, y], [x + 3, y]];
      return svg("polyline", { class: "line", points: given.map((point) => point.join(",")).join(" ") });
    });
}

/** How a whole is made up: a bar for each name, the largest first. */
export function shares(title, counts, { format = String, words = String, tone = () => "" } = {}) {
  const found = Object.entries(counts).sort(([, one], [, other]) => other - one);
  const whole = found.reduce((sum, [, count]) => sum + count, 0) || 1;
  return h(
    "ul",
    { class: "shares", "aria-label": title },
    found.map(([name, count]) =>
      h(
        "li",
        { css: { "--share": count / whole } },
        h("span", { class: "share-name" }, words(name)),
        h("span", { class: "num" }, format(count), " ", h("span", { class: "quiet" }, `${Math.round((count / whole) * 100)} %`)),
        h("span", { class: `share-bar ${tone(name)}` }),
      ),
    ),
  );
}

function asTable(title, columns, rows) {
  return h("details", { class: "as-table" }, h("summary", {}, "As a table"), table(title, columns, rows));
}
