// One small chart: lines, steps, points with error bars, shaded windows, reference lines; drawn as SVG so that the
// style sheet colours it, and with its numbers as a table behind it for those who do not see it.

import { element, say, svg } from "./dom.js";
import { short, tick } from "./text.js";

const MARGIN = { top: 10, right: 12, bottom: 34, left: 50 };
const ROWS = 200;

let charts = 0;

export class Chart {
  /** `spec`: title, xLabel, yLabel, height, zero (the y axis begins at 0), format of x in words. */
  constructor(spec) {
    this.spec = spec;
    this.id = `chart-${(charts += 1)}`;
    this.width = 0;
    this.plot = svg("svg", { role: "img", "aria-labelledby": `${this.id}-title`, "aria-describedby": `${this.id}-says`, height: spec.height ?? 170 });
    this.title = element("span", { class: "chart-title", id: `${this.id}-title` }, spec.title);
    this.says = element("p", { class: "chart-says", id: `${this.id}-says` });
    this.legend = element("ul", { class: "legend", "aria-hidden": "true" });
    this.readout = element("p", { class: "readout", "aria-hidden": "true" });
    this.table = element("table");
    this.scroll = element("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": `Numbers of ${spec.title}` }, this.table);
    this.details = element("details", {}, element("summary", {}, "Numbers", element("span", { class: "unseen" }, ` of ${spec.title}`)), this.scroll);
    this.frame = element("div", { class: "plot" }, this.plot, this.readout);
    this.root = element("figure", { class: "chart" }, element("figcaption", {}, this.title, this.legend), this.frame, this.says, this.details);
    this.details.addEventListener("toggle", () => this.fillTable());
    this.frame.addEventListener("pointermove", (event) => this.point(event));
    this.frame.addEventListener("pointerleave", () => this.unpoint());
    new ResizeObserver(([entry]) => {
      this.width = entry.contentRect.width;
      if (this.data) this.paint();
    }).observe(this.frame);
  }

  /** `data`: series [{name, kind: line|step|points|fit, x, y, error, tone}], bands [{from, to, label}], marks [{y, label}]
   *  or [{x, label}], says (a sentence), x and y domains where they are not those of the series. */
  draw(data) {
    this.data = data;
    say(this.says, data.says ?? "");
    if (this.width) this.paint();
    if (this.details.open) this.fillTable();
  }

  paint() {
    const height = this.spec.height ?? 170;
    const { series, bands = [], marks = [] } = this.data;
    const box = { left: MARGIN.left, right: Math.max(this.width - MARGIN.right, MARGIN.left + 20), top: MARGIN.top, bottom: height - MARGIN.bottom };
    const xs = scale(this.data.xDomain ?? domain(series.map((s) => s.x)), box.left, box.right);
    const ys = scale(padded(this.data.yDomain ?? yDomain(series, marks), this.spec.zero), box.bottom, box.top);
    this.xs = xs;
    const parts = [];
    const yTicks = ticks(ys.from, ys.to, Math.max(2, Math.floor((box.bottom - box.top) / 34)));
    for (const at of yTicks.at) {
      const y = ys(at);
      parts.push(svg("line", { class: "grid", x1: box.left, x2: box.right, y1: y, y2: y }));
      parts.push(svg("text", { class: "tick", x: box.left - 7, y: y + 3.5, "text-anchor": "end" }, tick(at, yTicks.step)));
    }
    const xTicks = ticks(xs.from, xs.to, Math.max(2, Math.floor((box.right - box.left) / 80)));
    for (const at of xTicks.at) {
      const x = xs(at);
      parts.push(svg("line", { class: "axis", x1: x, x2: x, y1: box.bottom, y2: box.bottom + 4 }));
      parts.push(svg("text", { class: "tick", x, y: box.bottom + 16, "text-anchor": "middle" }, tick(at, xTicks.step)));
    }
    for (const { from, to, label } of bands) {
      const left = Math.max(xs(from), box.left);
      const right = Math.min(xs(to), box.right);
      if (right <= left) continue;
      parts.push(svg("rect", { class: "band", x: left, y: box.top, width: right - left, height: box.bottom - box.top }));
      for (const x of [left, right]) parts.push(svg("line", { class: "band-edge", x1: x, x2: x, y1: box.top, y2: box.bottom }));
      if (label) parts.push(svg("text", { class: "mark-label", x: right + 5, y: box.top + 10 }, label));
    }
    parts.push(svg("line", { class: "axis", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }));
    if (this.spec.xLabel) parts.push(svg("text", { class: "axis-label", x: box.right, y: height - 4, "text-anchor": "end" }, this.spec.xLabel));
    for (const mark of marks) {
      if (mark.y < ys.from || mark.y > ys.to) continue;
      parts.push(svg("line", { class: "mark", x1: box.left, x2: box.right, y1: ys(mark.y), y2: ys(mark.y) }));
      parts.push(svg("text", { class: "mark-label", x: box.right, y: ys(mark.y) - 4, "text-anchor": "end" }, mark.label));
    }
    series.forEach((one, n) => parts.push(...drawn(one, one.tone ?? n, xs, ys, box)));
    this.cursor = svg("line", { class: "cursor", y1: box.top, y2: box.bottom, x1: -9, x2: -9 });
    this.plot.setAttribute("viewBox", `0 0 ${this.width} ${height}`);
    this.plot.replaceChildren(...parts, this.cursor);
    this.paintLegend(series);
  }

  paintLegend(series) {
    const named = series.length > 1 ? series.filter((one) => one.name) : [];
    const key = named.map((one) => one.name).join();
    if (key === this.legendKey) return;
    this.legendKey = key;
    this.legend.replaceChildren(...named.map((one, n) => element("li", {}, element("span", { class: `swatch tone-${one.tone ?? n} ${one.kind}` }), one.name)));
  }

  point(event) {
    const series = this.data?.series?.filter((one) => one.x.length) ?? [];
    if (!this.xs || !series.length) return;
    const x = event.clientX - this.frame.getBoundingClientRect().left;
    const at = nearest(series[0].x, this.xs.back(x));
    const px = this.xs(series[0].x[at]);
    this.cursor.setAttribute("x1", px);
    this.cursor.setAttribute("x2", px);
    const values = series.map((one) => {
      const n = nearest(one.x, series[0].x[at]);
      const error = one.error?.[n] ? ` ± ${short(one.error[n])}` : "";
      return `${one.name ? `${one.name} ` : ""}${short(one.y[n])}${error}`;
    });
    this.readout.textContent = `${short(series[0].x[at])} ${this.spec.xUnit ?? ""}: ${values.join(", ")}`;
  }

  unpoint() {
    this.readout.textContent = "";
    this.cursor?.setAttribute("x1", -9);
    this.cursor?.setAttribute("x2", -9);
  }

  fillTable() {
    if (!this.details.open || !this.data) return;
    const series = this.data.series.filter((one) => one.x.length);
    const long = series.reduce((most, one) => Math.max(most, one.x.length), 0);
    const every = Math.max(1, Math.ceil(long / ROWS));
    const head = [this.spec.xLabel ?? "x"];
    for (const one of series) head.push(one.name || this.spec.title, ...(one.error ? ["±"] : []));
    const rows = [];
    for (let n = (long - 1) % every; n < long; n += every) {
      const cells = [short(series.find((one) => one.x.length === long).x[n])];
      for (const one of series) cells.push(short(one.y[n]), ...(one.error ? [short(one.error[n])] : []));
      rows.push(element("tr", {}, ...cells.map((cell, c) => (c ? element("td", {}, cell) : element("th", { scope: "row" }, cell)))));
    }
    const caption = every > 1 ? `${this.spec.title}: every ${every}th of ${long} points` : this.spec.title;
    this.table.replaceChildren(
      element("caption", {}, caption),
      element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))),
      element("tbody", {}, ...rows),
    );
  }
}

function drawn(one, tone, xs, ys, box) {
  const kind = one.kind ?? "line";
  const name = `tone-${tone} ${kind}`;
  if (kind === "step") return [svg("path", { class: `${name} area`, d: steps(one, xs, ys, box, true) }), svg("path", { class: name, d: steps(one, xs, ys, box, false) })];
  const parts = [];
  if (kind === "points") {
    const bars = [];
    const dots = [];
    for (let n = 0; n < one.x.length; n += 1) {
      if (one.y[n] === null) continue;
      const x = xs(one.x[n]).toFixed(1);
      const error = one.error?.[n];
      if (error) bars.push(`M${x} ${clamp(ys(one.y[n] - error), box)}V${clamp(ys(one.y[n] + error), box)}`);
      dots.push(`M${x} ${ys(one.y[n]).toFixed(1)}h0`);
    }
    parts.push(svg("path", { class: `${name} bars`, d: bars.join("") }), svg("path", { class: `${name} dots`, d: dots.join("") }));
  } else {
    const thin = thinned(one, xs, box);
    if (one.error) parts.push(svg("path", { class: `${name} spread`, d: spread(thin, ys, box) }));
    parts.push(svg("path", { class: name, d: thin.map(([x, y], n) => `${n ? "L" : "M"}${x.toFixed(1)} ${clamp(ys(y), box)}`).join("") }));
    const last = thin.at(-1);
    if (last && one.end) {
      if (last[2]) parts.push(svg("path", { class: `${name} bars`, d: `M${last[0]} ${clamp(ys(last[1] - last[2]), box)}V${clamp(ys(last[1] + last[2]), box)}` }));
      parts.push(svg("circle", { class: `${name} end`, cx: last[0], cy: clamp(ys(last[1]), box), r: 4 }));
    }
  }
  return parts;
}

/** Points of a line, no more than two for each pixel: the lowest and the highest there. */
function thinned(one, xs, box) {
  const points = [];
  const many = one.x.length > 2 * (box.right - box.left);
  let column = null;
  for (let n = 0; n < one.x.length; n += 1) {
    const y = one.y[n];
    if (y === null || y === undefined) continue;
    const x = xs(one.x[n]);
    const point = [x, y, one.error?.[n] ?? 0];
    if (!many) points.push(point);
    else if (column && Math.floor(x) === column.at) {
      if (y < column.low[1]) column.low = point;
      if (y > column.high[1]) column.high = point;
    } else {
      if (column) points.push(column.low, column.high);
      column = { at: Math.floor(x), low: point, high: point };
    }
  }
  if (column) points.push(column.low, column.high);
  return points;
}

function spread(points, ys, box) {
  const known = points.filter(([, , error]) => error);
  if (!known.length) return "";
  const top = known.map(([x, y, error]) => `${x.toFixed(1)} ${clamp(ys(y + error), box)}`);
  const bottom = known.map(([x, y, error]) => `${x.toFixed(1)} ${clamp(ys(y - error), box)}`).reverse();
  return `M${[...top, ...bottom].join("L")}Z`;
}

/** A histogram: `x` are the left edges of bins, each as wide as the first. */
function steps(one, xs, ys, box, closed) {
  const wide = one.x.length > 1 ? one.x[1] - one.x[0] : 1;
  let path = "";
  one.x.forEach((x, n) => {
    const y = clamp(ys(one.y[n]), box);
    path += n ? `V${y}` : `M${xs(x).toFixed(1)} ${y}`;
    path += `H${xs(x + wide).toFixed(1)}`;
  });
  return closed && path ? `${path}V${box.bottom}H${xs(one.x[0]).toFixed(1)}Z` : path;
}

function clamp(y, box) {
  return Math.min(Math.max(y, box.top - 2), box.bottom).toFixed(1);
}

function domain(columns) {
  let [low, high] = [Infinity, -Infinity];
  for (const column of columns) {
    for (const value of column) {
      if (value === null || value === undefined) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) return [0, 1];
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}

/** Of the values; error bars count as far as they are not so long that they hide all else, as the first ones are. */
function yDomain(series, marks) {
  const reach = series.flatMap((one) => {
    if (!one.error) return [one.y];
    const last = one.y.length - 1;
    const middle = one.error[Math.floor(last / 4)] ?? 0;
    const some = one.y.map((y, n) => (one.kind === "points" ? one.error[n] ?? 0 : Math.min(one.error[n] ?? 0, 1.5 * middle)));
    const settled = one.kind === "points" ? 0 : Math.floor(one.y.length / 10);
    return [one.y.map((y, n) => (y === null || n < settled ? null : y + some[n])), one.y.map((y, n) => (y === null || n < settled ? null : y - some[n]))];
  });
  return domain([...reach, marks.filter((mark) => mark.keep !== false).map((mark) => mark.y)]);
}

function padded([low, high], zero) {
  const bottom = zero ? Math.min(0, low) : low;
  const room = (high - bottom) * 0.08 || 1;
  return [zero ? bottom : bottom - room, high + room];
}

function scale([from, to], begin, end) {
  const by = (end - begin) / (to - from);
  const map = (value) => begin + (value - from) * by;
  return Object.assign(map, { from, to, back: (pixel) => from + (pixel - begin) / by });
}

function ticks(from, to, most) {
  const rough = (to - from) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough * 0.999);
  const at = [];
  for (let n = Math.ceil(from / step - 1e-9); n * step <= to + step * 1e-9; n += 1) at.push(n * step);
  return { at, step };
}

function nearest(column, value) {
  let [low, high] = [0, column.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (column[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low > 0 && value - column[low - 1] < column[low] - value ? low - 1 : low;
}
