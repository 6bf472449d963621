// The testbed as a map: nodes with what stands there, fibres between them, and the light in the fibres.

import { element, say, svg } from "./dom.js";
import { rate, sentence } from "./text.js";

const NODE = { width: 184, head: 34, line: 20, pad: 10 };
const NARROW = 560;

export class Map_ {
  constructor(frame) {
    this.plot = svg("svg", { "aria-hidden": "true" });
    this.list = element("ul", { class: "unseen" });
    frame.replaceChildren(this.plot, this.list);
    this.width = 0;
    new ResizeObserver(([entry]) => {
      this.width = entry.contentRect.width;
      this.paint();
    }).observe(frame);
  }

  draw(run) {
    this.run = run;
    this.paint();
  }

  paint() {
    const start = this.run?.start;
    if (!start?.nodes || !this.width) return;
    const places = placed(start, this.width < NARROW);
    const parts = [];
    const lit = isLit(this.run);
    for (const fibre of places.fibres) parts.push(...this.fibre(fibre, lit));
    for (const node of places.nodes) parts.push(this.node(node));
    this.plot.setAttribute("viewBox", `0 0 ${places.width} ${places.height}`);
    this.plot.setAttribute("class", places.width > this.width * 1.6 ? "map small" : "map");
    this.plot.style.maxHeight = `${Math.min(places.height, 460)}px`;
    this.plot.replaceChildren(...parts);
    this.describe(places, lit);
  }

  fibre({ name, length, light, d, label }, lit) {
    const parts = [svg("path", { class: "fibre", d })];
    if (light.length) parts.push(svg("path", { class: `light${lit ? " lit" : ""}`, d }));
    const words = [length === undefined ? "" : kilometres(length), ...light].filter(Boolean).join(" · ");
    parts.push(svg("text", { class: "fibre-label", x: label.x, y: label.y, "text-anchor": label.anchor }, sentence(name)));
    parts.push(svg("text", { class: "fibre-label detail", x: label.x, y: label.y + 13, "text-anchor": label.anchor }, words));
    return parts;
  }

  node({ name, title, x, y, height, rows }) {
    const parts = [
      svg("title", {}, title || name),
      svg("rect", { class: "node", x, y, width: NODE.width, height, rx: 8 }),
      svg("text", { class: "node-name", x: x + NODE.pad, y: y + 22 }, name),
      svg("text", { class: "node-rate", x: x + NODE.width - NODE.pad, y: y + 22, "text-anchor": "end" }, this.singlesAt(name)),
    ];
    rows.forEach(({ name: text, kind, state }, n) => {
      const at = y + NODE.head + n * NODE.line + 8;
      parts.push(svg("circle", { class: `dot ${state}`, cx: x + NODE.pad + 4, cy: at, r: 4 }));
      parts.push(svg("text", { class: "thing", x: x + NODE.pad + 15, y: at + 4 }, text));
      if (kind) parts.push(svg("text", { class: "thing kind", x: x + NODE.width - NODE.pad, y: at + 4, "text-anchor": "end" }, kind));
    });
    return svg("g", {}, ...parts);
  }

  singlesAt(node) {
    const { rates, detectors, start } = this.run;
    if (!rates) return "";
    const at = detectors.map((name, n) => (nodeOf(start, name) === node ? rates[n] ?? 0 : null)).filter((hz) => hz !== null);
    return at.length ? rate(at.reduce((sum, hz) => sum + hz, 0)) : "";
  }

  /** The same in words, for those who do not see the map. */
  describe({ nodes, fibres }, lit) {
    const lines = [
      ...nodes.map(({ name, title, rows }) => `${name}${title ? `, ${title}` : ""}: ${rows.map((row) => row.name).join(", ")}`),
      ...fibres.map(({ name, from, to, length, light }) => `${name} from ${from} to ${to}${length === undefined ? "" : `, ${kilometres(length)}`}${light.length ? `, ${lit ? "light" : "no light yet"} of ${light.join(" and ")}` : ""}`),
    ];
    while (this.list.children.length > lines.length) this.list.lastChild.remove();
    lines.forEach((line, n) => {
      if (!this.list.children[n]) this.list.append(element("li"));
      say(this.list.children[n], line);
    });
  }
}

/** Where the tagger stands that a detector feeds. */
function nodeOf(start, detector) {
  const [tagger] = start.detectors?.[detector]?.tagger?.split(".") ?? [];
  return start.instruments?.[tagger]?.node;
}

function isLit(run) {
  return ["running", "paused"].includes(run.state) && (run.rates ?? []).some((hz) => hz > 5000);
}

function kilometres(metres) {
  return metres >= 1000 ? `${Number((metres / 1000).toPrecision(3))} km` : `${metres} m`;
}

/** What stands at a node, one line for each: sources, analysers and measurements first, then how many instruments. */
function standing(start, node) {
  const at = (things) => Object.entries(things ?? {}).filter(([, thing]) => thing.node === node).map(([name]) => name);
  const rows = [
    ...at(start.sources).map((name) => ({ name, kind: "pairs", state: "source" })),
    ...at(start.bell_state_measurements).map((name) => ({ name, kind: "BSM", state: "measures" })),
    ...at(start.analysers).map((name) => ({ name, kind: name.includes("analyser") ? "" : "analyser", state: "measures" })),
  ];
  const instruments = at(start.instruments);
  if (instruments.length) rows.push({ name: instruments.length === 1 ? instruments[0] : `${instruments.length} instruments`, kind: "", state: "plain" });
  return rows;
}

/** Which light a fibre carries, in words. */
function lightIn(start, fibre) {
  const colours = new Set();
  for (const source of Object.values(start.sources ?? {})) {
    for (const arm of ["signal", "idler"]) {
      if (reaches(start, source[arm] ?? [], fibre)) colours.add(`${Math.round(source[`${arm}_wavelength_m`] * 1e9)} nm`);
    }
  }
  for (const beam of Object.values(start.beams ?? {})) if (reaches(start, beam.path ?? [], fibre)) colours.add("probe");
  return [...colours];
}

/** Whether light on a path can come through a fibre, whichever way switches and splitters send it. */
function reaches(start, path, fibre) {
  const seen = new Set();
  const ahead = [path];
  while (ahead.length) {
    for (const thing of ahead.pop()) {
      if (thing === fibre) return true;
      const name = thing.split(".")[0];
      if (seen.has(name)) continue;
      seen.add(name);
      ahead.push(...(start.branches?.[name] ?? []));
    }
  }
  return false;
}

function placed(start, narrow) {
  const names = Object.keys(start.nodes);
  const fibres = Object.entries(start.fibres ?? {}).map(([name, f]) => ({ name, from: f.from, to: f.to, length: f.length_m, light: lightIn(start, name) }));
  const nodes = names.map((name) => {
    const rows = standing(start, name);
    return { name, title: start.nodes[name].title, rows, height: NODE.head + rows.length * NODE.line + (rows.length ? 8 : 0) };
  });
  const spots = arranged(names, fibres, narrow);
  const tall = Math.max(...nodes.map((node) => node.height));
  const [columns, rows] = [Math.max(...spots.map(([c]) => c)), Math.max(...spots.map(([, r]) => r))];
  const loops = fibres.filter((f) => f.from === f.to).length;
  const gap = { x: NODE.width + 150, y: tall + 64 };
  const row = Object.fromEntries(names.map((name, n) => [name, spots[n]]));
  const aside = fibres.filter(({ from, to }) => row[from][0] === row[to][0] && Math.abs(row[from][1] - row[to][1]) > 1);
  const margin = { x: 4 + (aside.length ? 16 + 12 * aside.length : 0), top: loops ? 78 : 24 };
  nodes.forEach((node, n) => {
    node.x = margin.x + spots[n][0] * gap.x;
    node.y = margin.top + spots[n][1] * gap.y + (tall - node.height) / 2;
  });
  const by = Object.fromEntries(nodes.map((node) => [node.name, node]));
  const seen = {};
  for (const fibre of fibres) {
    const key = [fibre.from, fibre.to].sort().join();
    seen[key] = (seen[key] ?? 0) + 1;
    const ends = [by[fibre.from], by[fibre.to]];
    Object.assign(fibre, aside.includes(fibre) ? drawnAside(...ends, aside.indexOf(fibre)) : drawnBetween(...ends, seen[key] - 1));
  }
  return { nodes, fibres, width: columns * gap.x + NODE.width + 2 * margin.x + (columns === 0 && fibres.length > loops ? 120 : 0), height: margin.top + rows * gap.y + tall + 12 };
}

/** Column and row of each node: a line where the fibres make one, a hub with spokes round it, or a ring. */
function arranged(names, fibres, narrow) {
  const neighbours = Object.fromEntries(names.map((name) => [name, new Set()]));
  for (const { from, to } of fibres) {
    if (from === to) continue;
    neighbours[from].add(to);
    neighbours[to].add(from);
  }
  const degree = (name) => neighbours[name].size;
  const spot = {};
  const ends = names.filter((name) => degree(name) === 1);
  const hub = names.find((name) => degree(name) > 2);
  if (names.length > 1 && ends.length === 2 && !hub && names.every((name) => degree(name) > 0)) {
    let [before, now] = [null, ends[0]];
    for (let n = 0; now; n += 1) {
      spot[now] = narrow ? [0, n] : [n, 0];
      [before, now] = [now, [...neighbours[now]].find((next) => next !== before)];
    }
  } else if (hub && names.length <= 5 && names.every((name) => name === hub || (degree(name) === 1 && neighbours[name].has(hub)))) {
    const spokes = names.filter((name) => name !== hub);
    spot[hub] = narrow ? [0, 0] : [1, 0.5];
    spokes.forEach((name, n) => (spot[name] = narrow ? [0, n + 1] : [n % 2 ? 2 : 0, n < 2 ? 0 : 1]));
  } else if (narrow || names.length < 3) {
    names.forEach((name, n) => (spot[name] = narrow ? [0, n] : [n, 0]));
  } else {
    // A ring: along the top to the right, and back along the bottom.
    const half = Math.ceil(names.length / 2);
    const order = ring(names, neighbours);
    order.forEach((name, n) => (spot[name] = n < half ? [n, 0] : [2 * half - 1 - n, 1]));
  }
  return names.map((name) => spot[name]);
}

function ring(names, neighbours) {
  const order = [names[0]];
  while (order.length < names.length) {
    const next = [...neighbours[order.at(-1)]].find((name) => !order.includes(name)) ?? names.find((name) => !order.includes(name));
    order.push(next);
  }
  return order;
}

function drawnBetween(from, to, nth) {
  const middle = (node) => ({ x: node.x + NODE.width / 2, y: node.y + node.height / 2 });
  const [a, b] = [middle(from), middle(to)];
  if (from === to) {
    const y = from.y;
    return { d: `M${a.x - 40} ${y}C${a.x - 60} ${y - 66} ${a.x + 60} ${y - 66} ${a.x + 40} ${y}`, label: { x: a.x + 62, y: y - 36, anchor: "start" } };
  }
  if (Math.abs(a.x - b.x) > NODE.width) {
    const way = Math.sign(b.x - a.x);
    const [x1, x2] = [a.x + (way * NODE.width) / 2, b.x - (way * NODE.width) / 2];
    const [y1, y2] = [a.y + nth * 18, b.y + nth * 18];
    const bend = (x2 - x1) / 2;
    return { d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`, label: { x: (x1 + x2) / 2, y: (y1 + y2) / 2 + (nth ? 20 : y1 === y2 ? -22 : -30), anchor: "middle" } };
  }
  const way = Math.sign(b.y - a.y);
  const x = a.x - 70 + nth * 110;
  const [y1, y2] = [a.y + (way * from.height) / 2, b.y - (way * to.height) / 2];
  return { d: `M${x} ${y1}L${x} ${y2}`, label: { x: x + 12, y: (y1 + y2) / 2 - 2, anchor: "start" } };
}

/** Past the nodes between, along the left. */
function drawnAside(from, to, nth) {
  const [y1, y2] = [from.y + from.height / 2, to.y + to.height / 2];
  const x = Math.min(from.x, to.x) - 16 - 12 * nth;
  const lower = from.y > to.y ? from : to;
  return { d: `M${from.x} ${y1}L${x} ${y1}L${x} ${y2}L${to.x} ${y2}`, label: { x: lower.x + 4, y: lower.y - 22, anchor: "start" } };
}
