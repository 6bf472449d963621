// How figures are written for people: the same rules as bellbench/text.py, so that page and terminal agree.

/** Names of figures as people know them; what is not here is made readable from its own name. */
const FIGURES = {
  chsh_s: { label: "CHSH S", unit: "", lines: [{ at: 2, label: "classical limit" }] },
  fidelity: { label: "Fidelity", unit: "", lines: [{ at: 0.5, label: "classical limit" }] },
  swap_rate_hz: { label: "Swap rate", unit: "/s", lines: [] },
  visibility_zz: { label: "Visibility |ZZ|", unit: "", lines: [] },
  visibility_xx: { label: "Visibility |XX|", unit: "", lines: [] },
  visibility_yy: { label: "Visibility |YY|", unit: "", lines: [] },
  qber: { label: "QBER", unit: "", lines: [{ at: 0.11, label: "no key above" }] },
  car: { label: "CAR", unit: "", lines: [] },
};
const UNITS = { hz: "/s", s: "s", ps: "ps", ns: "ns", k: "K", w: "W", v: "V", m: "m", bits: "bits" };

export function figure(name) {
  if (FIGURES[name]) return FIGURES[name];
  const words = name.split("_");
  const unit = words.length > 1 ? UNITS[words.at(-1)] : undefined;
  if (unit) words.pop();
  return { label: sentence(words.join(" ")), unit: unit ?? "", lines: [] };
}

const LETTERS = /\b(hom|chsh|qber|car|bsm|cp|snr)\b/g;

export function sentence(text) {
  const plain = String(text).replaceAll("_", " ").replace(LETTERS, (word) => word.toUpperCase());
  return plain.charAt(0).toUpperCase() + plain.slice(1);
}

/** Value and error, both to the second digit of the error. */
export function withError(value, error) {
  if (value === null || value === undefined) return { value: "–", error: "" };
  if (!error) return { value: short(value), error: "" };
  const digits = Math.min(12, Math.max(0, 1 - Math.floor(Math.log10(Math.abs(error)))));
  return { value: value.toFixed(digits), error: error.toFixed(digits) };
}

export function both(value, error) {
  const parts = withError(value, error);
  return parts.error ? `${parts.value} ± ${parts.error}` : parts.value;
}

/** At most four digits, thousands apart, powers of ten beyond. */
export function short(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e9)) return value.toExponential(2);
  if (size >= 100) return Math.round(value).toLocaleString("en-GB");
  return String(Number(value.toPrecision(4)));
}

export function count(value) {
  return value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en-GB");
}

const PREFIXES = [[1e9, "G"], [1e6, "M"], [1e3, "k"]];

/** For the ticks of an axis: 12k, 3.4M. */
export function tick(value, step) {
  const size = Math.abs(value);
  const [scale, letter] = (size >= 1e4 && PREFIXES.find(([s]) => size >= s)) || [1, ""];
  const digits = Math.max(0, -Math.floor(Math.log10(step / scale) + 1e-9));
  return (value / scale).toFixed(Math.min(digits, 6)) + letter;
}

export function rate(hz) {
  if (hz === null || hz === undefined) return "–";
  return hz >= 100 ? `${count(hz)} /s` : `${hz.toFixed(2)} /s`;
}

/** m:ss, or h:mm:ss from an hour on. */
export function duration(seconds) {
  const all = Math.max(Math.round(seconds ?? 0), 0);
  const two = (n) => String(n).padStart(2, "0");
  const minutes = Math.floor(all / 60);
  return minutes >= 60 ? `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(all % 60)}` : `${minutes}:${two(all % 60)}`;
}

export function wallClock(seconds) {
  return new Date(seconds * 1000).toISOString().replace("T", " ").slice(0, 19) + " UTC";
}
