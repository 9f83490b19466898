// Where the boxes and arrows of a directed graph stand: layers from top to bottom, as Sugiyama, Tagawa and Toda do it
// (1981). Ways that lead back are turned round; a way over several layers passes through a point in each; a label
// stands in a layer of its own, as wide as it is, so that nothing covers it. Pure: sizes in, places out, in pixels.

const SWEEPS = 24; // over all layers, for their order and for their places; more change nothing that is seen
const STRAIGHT = 4; // how much more a long way wants to be straight than a short one

/**
 * @param {{id: string, width: number, height: number}[]} nodes the one to begin with first
 * @param {{start: string, end: string, width?: number, height?: number, pull?: number}[]} ways between nodes; of its
 *   label the size, and how much more than others it wants to be straight
 * @param {{across?: number, between?: number}} gaps between neighbours, and between layers
 * @returns {{width: number, height: number, nodes: Map<string, {x: number, y: number}>,
 *   ways: {points: {x: number, y: number}[], label: {x: number, y: number}}[]}} middles of boxes; of a label, which
 *   stands at the right of its way, the middle of its left side; the points of a way from its start to its end, none of one that leads nowhere else, in the order of `ways`
 */
export function layout(nodes, ways, { across = 28, between = 22 } = {}) {
  if (!nodes.length) return { width: 0, height: 0, nodes: new Map(), ways: [] };
  const graph = layered(nodes, ways);
  order(graph.layers);
  const heights = graph.layers.map((layer) => Math.max(0, ...layer.map((one) => one.height)));
  let y = 0;
  graph.layers.forEach((layer, number) => {
    for (const one of layer) Object.assign(one, { y: y + heights[number] / 2, tall: heights[number] });
    y += heights[number] + between;
  });
  place(graph.layers, across);
  const all = graph.layers.flat();
  const left = Math.min(...all.map((one) => one.x - one.width / 2));
  for (const one of all) one.x -= left;
  return {
    width: Math.max(...all.map((one) => one.x + one.width / 2)),
    height: y - between,
    nodes: new Map([...graph.boxes].map(([id, { x, y }]) => [id, { x, y }])),
    ways: ways.map((way, number) => traced(graph.chains[number])),
  };
}

// ---- layers

/** Layers of boxes (even) and of what lies on the ways between them (odd), each linked with what is above and below. */
function layered(nodes, ways) {
  const boxes = new Map(nodes.map(({ id, width, height }) => [id, spot(width, height)]));
  const known = ways.map(({ start, end }) => boxes.has(start) && boxes.has(end) && start !== end);
  const back = backwards(nodes, ways);
  const ahead = ways.flatMap(({ start, end }, n) => (known[n] ? [back.has(n) ? [end, start] : [start, end]] : []));
  const ranks = ranked(nodes, ahead);
  const layers = Array.from({ length: 2 * Math.max(...ranks.values()) + 1 }, () => []);
  for (const [id, box] of boxes) {
    box.layer = 2 * ranks.get(id);
    layers[box.layer].push(box);
  }
  const chains = ways.map((way, number) => {
    if (!known[number]) return null;
    const turned = back.has(number);
    const [upper, lower] = [boxes.get(way.start), boxes.get(way.end)].sort((one, other) => one.layer - other.layer);
    const spots = [upper];
    const labelled = turned ? lower.layer - 1 : upper.layer + 1; // beside the box that it leaves
    for (let layer = upper.layer + 1; layer < lower.layer; layer++) {
      const here = layer === labelled ? spot(way.width ?? 0, way.height ?? 0) : spot(0, 0);
      here.isBend = true;
      layers[layer].push(here);
      link(spots.at(-1), here, way.pull ?? 1);
      spots.push(here);
    }
    link(spots.at(-1), lower, way.pull ?? 1);
    spots.push(lower);
    return { spots, turned, label: turned ? spots.at(-2) : spots[1] };
  });
  return { boxes, layers, chains };
}

function spot(width, height) {
  return { width, height, x: 0, y: 0, tall: 0, up: [], down: [], isBend: false };
}

function link(upper, lower, pull) {
  const held = pull * (upper.isBend && lower.isBend ? STRAIGHT : 1);
  upper.down.push({ to: lower, held });
  lower.up.push({ to: upper, held });
}

/** Where a way runs through a spot: beside its label. */
function lineAt(one) {
  return one.isBend ? one.x - one.width / 2 : one.x;
}

/** The ways (by number) that lead back to where a walk from the first node came from. */
function backwards(nodes, ways) {
  const leaving = new Map(nodes.map(({ id }) => [id, []]));
  ways.forEach(({ start, end }, number) => leaving.has(end) && leaving.get(start)?.push([end, number]));
  const found = new Set();
  const state = new Map(); // "open" while the walk is below it, then "done"
  const walk = (id) => {
    state.set(id, "open");
    for (const [end, number] of leaving.get(id)) {
      if (state.get(end) === "open") found.add(number);
      else if (!state.has(end)) walk(end);
    }
    state.set(id, "done");
  };
  for (const { id } of nodes) if (!state.has(id)) walk(id);
  return found;
}

/** Each node one below the lowest that leads to it; what nothing leads to comes right above what it leads to. */
function ranked(nodes, ahead) {
  const ranks = new Map(nodes.map(({ id }) => [id, 0]));
  for (let changed = true; changed; ) {
    changed = false;
    for (const [upper, lower] of ahead) {
      if (ranks.get(lower) <= ranks.get(upper)) {
        ranks.set(lower, ranks.get(upper) + 1);
        changed = true;
      }
    }
  }
  const led = new Set(ahead.map(([, lower]) => lower));
  for (const { id } of nodes.slice(1)) {
    const below = ahead.filter(([upper]) => upper === id).map(([, lower]) => ranks.get(lower));
    if (!led.has(id) && below.length) ranks.set(id, Math.min(...below) - 1);
  }
  return ranks;
}

// ---- order and places

/** Sort every layer by the middle of its neighbours, downwards and upwards, and keep what crosses least. */
function order(layers) {
  let best = layers.map((layer) => [...layer]);
  let least = crossings(layers);
  for (let sweep = 0; sweep < SWEEPS && least; sweep++) {
    const downwards = sweep % 2 === 0;
    for (const layer of downwards ? layers : layers.toReversed()) {
      const middle = new Map(layer.map((one, here) => [one, mean(downwards ? one.up : one.down) ?? here]));
      layer.sort((one, other) => middle.get(one) - middle.get(other));
      number(layer);
    }
    const now = crossings(layers);
    if (now < least) [best, least] = [layers.map((layer) => [...layer]), now];
  }
  layers.forEach((layer, at) => layer.splice(0, layer.length, ...best[at]));
  layers.forEach(number);
}

function mean(neighbours) {
  return neighbours.length ? neighbours.reduce((sum, { to }) => sum + to.position, 0) / neighbours.length : null;
}

function number(layer) {
  layer.forEach((one, here) => (one.position = here));
}

function crossings(layers) {
  layers.forEach(number);
  let count = 0;
  for (const layer of layers) {
    const ways = layer.flatMap((one) => one.down.map(({ to }) => [one.position, to.position]));
    ways.forEach(([a, b], n) => {
      for (const [c, d] of ways.slice(n + 1)) if ((a - c) * (b - d) < 0) count++;
    });
  }
  return count;
}

/** Move every layer's boxes as near as can be to their neighbours' middles without a change of order. */
function place(layers, across) {
  for (const layer of layers) settle(layer, across, () => null);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const downwards = sweep % 2 === 0;
    const both = sweep >= SWEEPS / 2;
    for (const layer of downwards ? layers : layers.toReversed()) {
      settle(layer, across, (one) => wanted(one, both ? [...one.up, ...one.down] : downwards ? one.up : one.down));
    }
  }
}

function wanted(one, neighbours) {
  let sum = 0;
  let weight = 0;
  for (const { to, held } of neighbours) {
    sum += held * (lineAt(to) - lineAt(one) + one.x);
    weight += held;
  }
  return weight ? { x: sum / weight, weight } : null;
}

/** The places in this order, with room between, that are nearest to what is wanted: isotonic regression. */
function settle(layer, across, wish) {
  const groups = [];
  let offset = 0;
  layer.forEach((one, here) => {
    if (here) {
      const before = layer[here - 1];
      offset += (before.width + one.width) / 2 + (before.isBend && one.isBend ? across * 0.7 : across);
    }
    one.offset = offset;
    const { x, weight } = wish(one) ?? { x: one.x, weight: 0.01 };
    groups.push({ at: x - offset, weight, members: [one] });
    while (groups.length > 1 && groups.at(-1).at < groups.at(-2).at) {
      const last = groups.pop();
      const into = groups.at(-1);
      into.at = (into.at * into.weight + last.at * last.weight) / (into.weight + last.weight);
      into.weight += last.weight;
      into.members.push(...last.members);
    }
  });
  for (const { at, members } of groups) for (const one of members) one.x = at + one.offset;
}

// ---- ways

/** A way's points, in pairs: each layer is crossed straight from its one edge to the other, from box to box. */
function traced(chain) {
  if (!chain) return { points: [], label: { x: 0, y: 0 } };
  const { spots, turned, label } = chain;
  const [first, last] = [spots[0], spots.at(-1)];
  const points = spots
    .filter((one) => !one.isBend || one.tall > 0) // where nothing stands, a way need not turn
    .flatMap((one) => [
      { x: lineAt(one), y: one.y - one.tall / 2 },
      { x: lineAt(one), y: one.y + one.tall / 2 },
    ]);
  points[0] = { x: first.x, y: first.y + first.height / 2 };
  points[points.length - 1] = { x: last.x, y: last.y - last.height / 2 };
  return { points: turned ? points.reverse() : points, label: { x: lineAt(label), y: label.y } };
}
