// What is known of a run, made of its documents alone: `apply` takes one after another, in their order.

const LIVE_BASICS = new Set(["t_s", "heralds", "fourfolds", "live_s"]);
const ERROR = "_error";

/** Columns that grow together. */
class Columns {
  constructor(...names) {
    for (const name of names) this[name] = [];
    this.names = names;
  }

  push(...values) {
    this.names.forEach((name, n) => this[name].push(values[n] ?? null));
  }

  get length() {
    return this[this.names[0]].length;
  }
}

export class Run {
  constructor() {
    this.start = null;
    this.stop = null;
    this.documents = 0;
    this.time = 0;
    this.wall = 0;
    this.state = "";
    this.message = "";
    this.states = [];
    this.steps = [];
    this.progress = null;
    this.detectors = [];
    this.rates = null;
    this.singles = new Columns("t");
    this.live = null;
    this.counts = new Columns("t", "live", "heralds", "fourfolds");
    this.figures = new Map();
    this.peaks = new Map();
    this.scans = new Map();
    this.links = new Map();
    this.instruments = new Map();
    this.interlocks = new Map();
    this.events = [];
    this.uptime = [];
    this.news = [];
    this.streams = new Map();
  }

  /** Takes one document: {name, doc} as bluesky's event model has it. */
  apply({ name, doc }) {
    this.documents += 1;
    if (doc.time) this.wall = doc.time;
    if (name === "start") this.began(doc);
    else if (name === "descriptor") this.streams.set(doc.uid, doc);
    else if (name === "stop") this.stop = doc;
    else if (name === "event") {
      const descriptor = this.streams.get(doc.descriptor);
      if (!descriptor) return;
      this.time = Math.max(this.time, doc.data.t_s ?? 0);
      this[`on_${descriptor.name}`]?.(doc.data, descriptor);
    }
  }

  began(doc) {
    this.start = doc;
    for (const [name, facts] of Object.entries(doc.instruments ?? {})) this.instrument(name, facts);
  }

  instrument(name, facts) {
    if (!this.instruments.has(name)) {
      this.instruments.set(name, { name, node: "", model: "", identity: "", before: null, after: null, safe: null, alarms: [] });
    }
    return Object.assign(this.instruments.get(name), facts);
  }

  on_state({ t_s, state, message }) {
    this.state = state;
    this.message = message ?? "";
    this.states.push({ t: t_s, state });
    this.news.push(message ? `Run ${state}: ${message}` : `Run ${state}`);
  }

  on_step(data) {
    if (data.phase === "ended") {
      const open = this.steps.findLast((step) => step.number === data.number && step.end === null);
      if (open) Object.assign(open, { end: data.t_s, took: data.took_s });
      return;
    }
    const last = this.steps.at(-1);
    if (last && last.end === null) Object.assign(last, { end: data.t_s, interrupted: true });
    this.steps.push({ number: data.number, count: data.count, kind: data.kind, begin: data.t_s, end: null, estimated: data.estimated_s });
    this.news.push(`Step ${data.number} of ${data.count}: ${data.kind}`);
  }

  on_progress(data) {
    this.progress = data;
  }

  on_rates(data, descriptor) {
    const detectors = listOf(descriptor) ?? this.detectors;
    if (detectors.length && detectors.length !== this.detectors.length) {
      this.detectors = detectors;
      for (const name of detectors) this.singles[name] ??= [];
    }
    this.rates = data.singles_hz;
    this.singles.t.push(data.t_s);
    this.detectors.forEach((name, n) => this.singles[name].push(data.singles_hz[n] ?? null));
  }

  on_live(data) {
    this.live = data;
    this.counts.push(data.t_s, data.live_s, data.heralds, data.fourfolds);
    for (const [name, value] of Object.entries(data)) {
      if (LIVE_BASICS.has(name) || name.endsWith(ERROR) || value === null) continue;
      if (!this.figures.has(name)) this.figures.set(name, new Columns("t", "live", "value", "error"));
      this.figures.get(name).push(data.t_s, data.live_s, value, data[name + ERROR]);
    }
  }

  on_peaks(data) {
    this.peaks.set(data.name, data);
  }

  on_scan(data) {
    this.scans.set(data.name, data);
  }

  on_polarization(data) {
    if (!this.links.has(data.link)) this.links.set(data.link, []);
    const seen = this.links.get(data.link);
    const last = seen.at(-1);
    // One look may send several probes: those of the same time and phase, always in the same order.
    const probe = last && last.t_s === data.t_s && last.phase === data.phase ? last.probe + 1 : 0;
    seen.push({ ...data, probe });
  }

  on_happened(data) {
    const details = parsed(data.details);
    this.events.push({ t: data.t_s, event: data.event, message: data.message, level: data.level });
    if (data.event === "instrument" && details.instrument) {
      this.instrument(details.instrument, { identity: `${details.manufacturer} ${details.model}, ${details.serial_number}` });
    } else if (data.level !== "info") {
      this.news.push(`${data.level}: ${data.message}`);
      if (this.instruments.has(details.instrument)) {
        this.instruments.get(details.instrument).alarms.push({ t: data.t_s, text: data.message });
      }
    }
  }

  on_baseline(data) {
    this.instrument(data.instrument, { [data.phase]: parsed(data.values) });
  }

  on_safe(data) {
    this.instrument(data.instrument, { safe: { verified: data.verified, problem: data.problem } });
    if (!data.verified) this.news.push(`NOT VERIFIED SAFE: ${data.instrument}. ${data.problem}`);
  }

  on_interlock(data) {
    this.interlocks.set(data.name, data);
    this.news.push(`Interlock ${data.name}: ${data.state}`);
  }

  on_uptime(data) {
    this.uptime.push({ t: data.t_s, state: data.state, reason: data.reason });
  }

  /** What should be read out since the last time. */
  takeNews() {
    return this.news.splice(0);
  }

  get ended() {
    return this.stop !== null;
  }

  /** From 0 to 1. */
  get fraction() {
    if (!this.progress) return 0;
    const { elapsed_s: elapsed, left_s: left } = this.progress;
    return Math.min(1, elapsed / Math.max(elapsed + left, 1e-9));
  }
}

/** The names in the order of an array column, which a descriptor keeps in its configuration. */
function listOf(descriptor) {
  for (const part of Object.values(descriptor.configuration ?? {})) {
    for (const value of Object.values(part.data ?? {})) if (Array.isArray(value)) return value;
  }
  return null;
}

function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}
