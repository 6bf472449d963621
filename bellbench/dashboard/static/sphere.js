// The polarization behind a link on a Poincaré sphere: where it is, where it was, and what a compensation did to it.

import { element, say, svg } from "./dom.js";
import { duration, short } from "./text.js";

const SIZE = 240;
const R = 92;
const POLES = [["H", 1, 0, 0], ["V", -1, 0, 0], ["D", 0, 1, 0], ["A", 0, -1, 0], ["R", 0, 0, 1], ["L", 0, 0, -1]];
const SHOWN = 60;
const TURN = 0.15;

/** From where all spheres are looked at, in radians; turned with the pointer or the arrow keys. */
const view = { azimuth: 0.6, height: 0.35, watchers: new Set() };

function turn(azimuth, height) {
  view.azimuth += azimuth;
  view.height = Math.min(1.5, Math.max(-1.5, view.height + height));
  for (const watcher of view.watchers) watcher();
}

/** Screen x, screen y and depth (towards the eye) of a Stokes vector. */
function project([s1, s2, s3]) {
  const [ca, sa] = [Math.cos(view.azimuth), Math.sin(view.azimuth)];
  const [ch, sh] = [Math.cos(view.height), Math.sin(view.height)];
  const towards = s1 * ca + s2 * sa;
  const across = -s1 * sa + s2 * ca;
  return [SIZE / 2 + R * across, SIZE / 2 - R * (s3 * ch - towards * sh), towards * ch + s3 * sh];
}

export class Sphere {
  constructor(link) {
    this.link = link;
    this.plot = svg("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, "aria-hidden": "true" });
    this.handle = element("div", { class: "sphere", tabindex: "0", role: "application", "aria-label": `Poincaré sphere of ${link}; arrow keys turn it` }, this.plot);
    this.says = element("p", { class: "chart-says" });
    this.table = element("table");
    const scroll = element("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": `Stokes vectors of ${link}` }, this.table);
    this.details = element("details", {}, element("summary", {}, "Numbers", element("span", { class: "unseen" }, ` of ${link}`)), scroll);
    this.root = element("figure", { class: "chart" }, element("figcaption", {}, element("span", { class: "chart-title" }, link)), this.handle, this.says, this.details);
    this.seen = [];
    this.details.addEventListener("toggle", () => this.fillTable());
    this.handle.addEventListener("keydown", (event) => this.key(event));
    this.handle.addEventListener("pointerdown", (event) => this.handle.setPointerCapture(event.pointerId));
    this.handle.addEventListener("pointermove", (event) => {
      if (event.buttons) turn(-event.movementX / R, event.movementY / R);
    });
    view.watchers.add(() => this.paint());
  }

  draw(seen) {
    if (seen === this.seen && seen.length === this.drawn) return;
    this.seen = seen;
    this.drawn = seen.length;
    const last = seen.at(-1);
    const turned = seen.filter((one) => one.phase === "after" && one.probe === 0).length;
    const worst = Math.min(...seen.slice(-1 - last.probe).map((one) => one.fidelity));
    say(this.says, `Fidelity ${short(worst)} at ${duration(last.t_s)}, ${turned === 1 ? "1 compensation" : `${turned} compensations`}`);
    this.paint();
    this.fillTable();
  }

  key(event) {
    const [azimuth, height] = { ArrowLeft: [-TURN, 0], ArrowRight: [TURN, 0], ArrowUp: [0, TURN], ArrowDown: [0, -TURN] }[event.key] ?? [];
    if (azimuth === undefined) return;
    event.preventDefault();
    turn(azimuth, height);
  }

  paint() {
    const parts = [svg("circle", { class: "globe", cx: SIZE / 2, cy: SIZE / 2, r: R })];
    for (const circle of [(a) => [Math.cos(a), Math.sin(a), 0], (a) => [Math.cos(a), 0, Math.sin(a)], (a) => [0, Math.cos(a), Math.sin(a)]]) parts.push(...halves(circle));
    for (const [letter, ...s] of POLES) {
      const [x, y, depth] = project(s.map((value) => value * 1.17));
      parts.push(svg("text", { class: depth < 0 ? "pole back" : "pole", x, y: y + 4, "text-anchor": "middle" }, letter));
    }
    const shown = this.seen.slice(-SHOWN).map((one) => ({ ...one, at: project([one.s1, one.s2, one.s3]) }));
    const before = [];
    for (const to of shown) {
      const from = before[to.probe];
      before[to.probe] = to;
      if (!from) continue;
      const compensated = to.phase === "after" && from.phase === "before";
      parts.push(svg("path", { class: compensated ? "jump" : "drift", d: arc(from, to) }));
    }
    shown.forEach((one) => {
      const [x, y, depth] = one.at;
      const last = one === before[one.probe];
      parts.push(svg("circle", { class: `stokes ${one.phase}${depth < 0 ? " back" : ""}${last ? " last" : ""}`, cx: x, cy: y, r: last ? 6 : 3 }));
    });
    this.plot.replaceChildren(...parts);
  }

  fillTable() {
    if (!this.details.open) return;
    const head = ["Time", "Probe", "Phase", "S1", "S2", "S3", "Fidelity", "Strategy"];
    const rows = this.seen.slice(-SHOWN).map((one) => [duration(one.t_s), one.probe + 1, one.phase, ...[one.s1, one.s2, one.s3, one.fidelity].map((v) => v?.toFixed(3) ?? "–"), one.strategy]);
    this.table.replaceChildren(
      element("caption", {}, `Stokes vectors of ${this.link}`),
      element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))),
      element("tbody", {}, ...rows.map((cells) => element("tr", {}, ...cells.map((cell, n) => (n ? element("td", {}, cell) : element("th", { scope: "row" }, cell)))))),
    );
  }
}

/** A great circle in two parts, the one in front and the one behind. */
function halves(circle) {
  let [front, back] = ["", ""];
  let before = null;
  for (let n = 0; n <= 96; n += 1) {
    const now = project(circle((n * Math.PI) / 48));
    if (before) {
      const line = `M${before[0].toFixed(1)} ${before[1].toFixed(1)}L${now[0].toFixed(1)} ${now[1].toFixed(1)}`;
      if (before[2] + now[2] >= 0) front += line;
      else back += line;
    }
    before = now;
  }
  return [svg("path", { class: "circle back", d: back }), svg("path", { class: "circle", d: front })];
}

/** From one state to the next along the sphere. */
function arc(from, to) {
  const [a, b] = [from, to].map((one) => [one.s1, one.s2, one.s3]);
  const cosine = Math.min(1, Math.max(-1, a[0] * b[0] + a[1] * b[1] + a[2] * b[2]));
  const angle = Math.acos(cosine);
  const many = Math.max(1, Math.ceil(angle / 0.1));
  let path = "";
  for (let n = 0; n <= many; n += 1) {
    const [p, q] = angle < 1e-3 || angle > 3.1 ? [1 - n / many, n / many] : [Math.sin(((many - n) * angle) / many) / Math.sin(angle), Math.sin((n * angle) / many) / Math.sin(angle)];
    const [x, y] = project(a.map((value, k) => p * value + q * b[k]));
    path += `${n ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
  }
  return path;
}
