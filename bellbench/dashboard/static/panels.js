// The parts of the page, each drawn from the run as it is known. A part without anything to show is not there.

import { Chart } from "./chart.js";
import { byId, element, Keyed, say } from "./dom.js";
import { drawInstruments } from "./instruments.js";
import { Map_ } from "./map.js";
import { Sphere } from "./sphere.js";
import { both, count, duration, figure, rate, sentence, short, wallClock, withError } from "./text.js";

const EVENTS = 200;
const RATE_OVER_S = 10;
const LONG_S = 600;
/** In which order figures stand, where they are known. */
const FIRST = ["chsh_s", "fidelity", "swap_rate_hz", "visibility_zz", "visibility_xx"];

export class Panels {
  constructor() {
    this.map = new Map_(byId("map"));
    this.cards = new Keyed(byId("cards"), card);
    this.growth = new Keyed(byId("growth"), (name) => new Chart({ title: figure(name).label, xLabel: "time in the run (s)", xUnit: "s", height: 210 }));
    this.counts = new Keyed(byId("counts"), (name) => new Chart({ title: name, xLabel: "time in the run (s)", xUnit: "s", zero: true }));
    this.peaks = new Keyed(byId("peaks"), (name) => new Chart({ title: sentence(name), xLabel: "delay from the peak (ns)", xUnit: "ns", zero: true }));
    this.scans = new Keyed(byId("scans"), (name) => new Chart({ title: sentence(name), height: 230 }));
    this.links = new Keyed(byId("links"), (name) => new Sphere(name));
    this.drawnEvents = 0;
  }

  clear() {
    for (const keyed of [this.cards, this.growth, this.counts, this.peaks, this.scans, this.links]) keyed.clear();
    for (const id of ["steps", "events", "instruments", "interlocks"]) byId(id).replaceChildren();
    this.drawnEvents = 0;
  }

  draw(run, about) {
    this.head(run, about);
    this.steps(run);
    this.figures(run);
    this.grow(run);
    this.countCharts(run);
    for (const [name, peak] of run.peaks) this.peaks.get(name).draw(peakData(peak));
    for (const [name, scan] of run.scans) this.drawScan(name, scan);
    for (const [name, seen] of run.links) this.links.get(name).draw(seen);
    this.map.draw(run);
    drawInstruments(run);
    this.events(run);
    uptime(run);
    for (const [id, there] of [
      ["figures", run.live],
      ["map-section", run.start?.nodes],
      ["steps-section", run.steps.length],
      ["growth-section", run.figures.size],
      ["peaks-section", run.peaks.size],
      ["scans-section", run.scans.size],
      ["links-section", run.links.size],
      ["counts-section", run.singles.length || run.counts.length],
      ["instruments-section", run.instruments.size],
      ["events-section", run.events.length],
    ]) {
      byId(id).hidden = !there;
    }
    const news = run.takeNews();
    if (news.length) say(byId("news"), news.slice(-3).join(". "));
  }

  head(run, about) {
    const start = run.start ?? {};
    const title = start.title || start.experiment || "bellbench";
    say(byId("title"), title);
    say(byId("about"), run.start ? `${about.run} · ${start.testbed ?? ""}${start.simulated ? ", simulated" : ""} · seed ${start.seed ?? "–"} · began ${wallClock(start.time)}` : about.run || "Waiting for a run");
    document.title = run.state ? `${run.state} · ${title}` : title;
    const pill = byId("state");
    say(pill, run.state || "no run");
    pill.dataset.state = run.state;
    const step = run.steps.at(-1);
    const where = step ? `step ${step.number} of ${step.count}` : "";
    say(byId("doing"), run.ended ? "" : [where, run.progress?.doing].filter(Boolean).join(": "));
    const progress = byId("progress");
    const done = run.state === "completed" ? 1 : run.fraction;
    if (progress.value !== done) progress.value = done;
    say(byId("times"), run.progress ? `${Math.round(100 * done)} % · ${duration(run.time)} gone${run.ended ? "" : ` · ${duration(run.progress.left_s)} left`}` : "");
    const message = byId("message");
    message.hidden = !run.message || run.state === "running";
    say(message, run.message);
    message.dataset.state = run.state;
    say(byId("foot"), run.start ? `${run.documents} documents of ${about.run}; newest ${wallClock(run.wall)}` : "");
  }

  steps(run) {
    const last = run.steps.at(-1);
    const plan = run.ended || !last ? [] : run.start?.plan ?? [];
    const ahead = plan.slice(last?.number).map((kind) => ({ kind, state: "ahead", took: "" }));
    const list = byId("steps");
    [...run.steps.map((step) => stepWords(step, run)), ...ahead].forEach(({ kind, state, took }, n) => {
      if (!list.children[n]) list.append(element("li", {}, element("span", { class: "what" }), " ", element("span", { class: "took" })));
      const item = list.children[n];
      item.dataset.state = state;
      if (state === "now") item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
      say(item.children[0], sentence(kind));
      say(item.children[1], took);
    });
    while (list.children.length > run.steps.length + ahead.length) list.lastChild.remove();
  }

  figures(run) {
    if (!run.live) return;
    for (const name of ordered(run.figures)) {
      const columns = run.figures.get(name);
      this.cards.get(name).draw(columns.value.at(-1), columns.error.at(-1));
    }
    if (run.live.heralds !== null) this.cards.get("heralds").draw(run.live.heralds, 0, count);
    if (run.live.fourfolds !== null) this.cards.get("four-folds").draw(run.live.fourfolds, 0, count);
    this.cards.get("data taken").draw(run.live.live_s, 0, duration);
    this.cards.arrange([...ordered(run.figures), "heralds", "four-folds", "data taken"]);
  }

  grow(run) {
    for (const name of ordered(run.figures)) {
      const columns = run.figures.get(name);
      const { label, lines } = figure(name);
      const [value, error] = [columns.value.at(-1), columns.error.at(-1)];
      this.growth.get(name).draw({
        series: [{ name: label, kind: "line", x: columns.t, y: columns.value, error: columns.error, end: true, tone: 0 }],
        marks: lines.map((line) => ({ y: line.at, label: line.label })),
        says: `${label} ${both(value, error)} after ${duration(columns.live.at(-1))} of data`,
      });
    }
    this.growth.arrange(ordered(run.figures));
  }

  countCharts(run) {
    if (run.counts.length > 1) {
      const heralds = perSecond(run.counts, "heralds");
      this.counts.get("Heralds per second").draw({ series: [{ kind: "line", ...heralds, tone: 0, end: true }], says: heralds.y.length ? `${rate(heralds.y.at(-1))} now` : "" });
      const fourfolds = perSecond(run.counts, "fourfolds");
      this.counts.get("Four-folds per second").draw({ series: [{ kind: "line", ...fourfolds, tone: 1, end: true }], says: fourfolds.y.length ? `${rate(fourfolds.y.at(-1))} over the last ${RATE_OVER_S} s` : "" });
    }
    for (const [place, names] of groups(run.detectors)) {
      const series = names.map((name) => ({ name, kind: "line", x: run.singles.t, y: run.singles[name] }));
      const says = names.map((name) => `${name} ${rate(run.singles[name].at(-1))}`).join(", ");
      this.counts.get(`Singles per second, ${place}`).draw({ series, says });
    }
  }

  drawScan(name, scan) {
    const chart = this.scans.get(name);
    chart.spec.xLabel = scan.x_label;
    const series = [{ name: "measured", kind: "points", x: scan.x, y: scan.y, error: scan.error, tone: 0 }];
    if (scan.fit?.some((value) => value !== null)) series.push({ name: "fit", kind: "line", x: scan.x, y: scan.fit, tone: 1 });
    chart.draw({ series, says: [sentence(scan.y_label), ...summary(scan.summary)].join("; ") });
  }

  events(run) {
    const list = byId("events");
    const first = Math.max(this.drawnEvents, run.events.length - EVENTS);
    for (const event of run.events.slice(first)) {
      const level = event.level === "info" ? [] : [element("strong", {}, event.level), " "];
      list.prepend(element("li", { "data-level": event.level }, element("time", {}, duration(event.t)), " ", element("span", {}, ...level, event.message)));
    }
    while (list.children.length > EVENTS) list.lastChild.remove();
    this.drawnEvents = run.events.length;
  }
}

function card(name) {
  const { label, unit } = figure(name);
  const value = element("span", { class: "value" });
  const error = element("span", { class: "error" });
  const root = element("div", { class: "card", "data-figure": name }, element("dt", {}, label), element("dd", {}, value, error, unit ? element("span", { class: "unit" }, unit) : null));
  return {
    root,
    draw(number, spread, format) {
      const parts = format ? { value: format(number), error: "" } : withError(number, spread);
      say(value, parts.value);
      say(error, parts.error ? `± ${parts.error}` : "");
    },
  };
}

function ordered(figures) {
  const place = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  return [...figures.keys()].sort((a, b) => place(a) - place(b));
}

/** Detectors whose names begin alike share a chart, but no more than four: more lines cannot be told apart. */
function groups(detectors) {
  const alike = new Map();
  for (const name of detectors) {
    const stem = name.includes("_") ? name.slice(0, name.lastIndexOf("_")) : "all";
    alike.set(stem, [...(alike.get(stem) ?? []), name]);
  }
  const made = [];
  for (const [stem, names] of alike) {
    for (let n = 0; n < names.length; n += 4) made.push([names.length > 4 ? `${stem} ${n / 4 + 1}` : stem, names.slice(n, n + 4)]);
  }
  return made;
}

/** How fast a count has grown, over the last ten seconds of data at each time; longer in long runs. */
function perSecond(counts, name) {
  const { t, live } = counts;
  const over = Math.max(RATE_OVER_S, (live.at(-1) ?? 0) / LONG_S * RATE_OVER_S);
  const rates = { x: [], y: [] };
  let from = 0;
  for (let n = 1; n < t.length; n += 1) {
    while (from < n - 1 && live[n] - live[from + 1] >= over) from += 1;
    const seconds = live[n] - live[from];
    if (seconds > 0 && live[n] > live[n - 1]) {
      rates.x.push(t[n]);
      rates.y.push(Math.max(0, (counts[name][n] - counts[name][from]) / seconds));
    }
  }
  return rates;
}

/** A correlation around its peak, in ns from it. */
function peakData(peak) {
  const x = peak.counts.map((_, n) => (peak.from_ps + n * peak.bin_ps - peak.centre_ps) / 1000);
  const band = [peak.window_begin_ps, peak.window_end_ps].map((ps) => (ps - peak.centre_ps) / 1000);
  const error = peak.error_ps ? ` ± ${short(peak.error_ps)}` : "";
  return {
    series: [{ kind: "step", x, y: peak.counts, tone: 0 }],
    bands: [{ from: band[0], to: band[1], label: "window" }],
    says: `Peak at ${count(peak.centre_ps)}${error} ps, window of ${count(peak.window_end_ps - peak.window_begin_ps)} ps`,
  };
}

function summary(text) {
  try {
    return Object.entries(JSON.parse(text || "{}")).map(([name, value]) => {
      if (value && typeof value === "object" && "value" in value) return `${sentence(name)} ${both(value.value, value.error)}`;
      return `${sentence(name)} ${typeof value === "number" ? short(value) : JSON.stringify(value)}`;
    });
  } catch {
    return [];
  }
}

function stepWords(step, run) {
  if (step.interrupted) return { kind: step.kind, state: "interrupted", took: "interrupted" };
  if (step.end !== null) return { kind: step.kind, state: "done", took: duration(step.took) };
  const took = `${duration(run.time - step.begin)} of about ${duration(step.estimated)}`;
  return { kind: step.kind, state: run.ended ? "interrupted" : "now", took };
}

function uptime(run) {
  const box = byId("uptime");
  box.hidden = !run.uptime.length;
  if (box.hidden) return;
  const last = run.uptime.at(-1);
  const begin = run.uptime[0].t;
  let up = 0;
  run.uptime.forEach((one, n) => {
    if (one.state === "up") up += (run.uptime[n + 1]?.t ?? run.time) - one.t;
  });
  const share = run.time > begin ? up / (run.time - begin) : 1;
  say(box, `Link ${last.state}${last.reason ? ` (${last.reason})` : ""}; up for ${(100 * share).toFixed(2)} % of ${duration(run.time - begin)}`);
  box.dataset.state = last.state;
}
