// Instruments by node, each with how it is: what answers there, alarms, its settings, and what became of it when it
// was made safe.

import { byId, element, say } from "./dom.js";
import { duration, short } from "./text.js";

export function drawInstruments(run) {
  drawInterlocks(run);
  const box = byId("instruments");
  for (const instrument of run.instruments.values()) {
    const item = itemOf(box, instrument);
    const { state, words } = standing(instrument);
    item.dataset.state = state;
    say(item.querySelector(".words"), words);
    say(item.querySelector(".model"), instrument.identity || instrument.model || "");
    settings(item.querySelector("table"), instrument);
  }
}

function itemOf(box, { name, node }) {
  const key = node || "bench";
  let group = [...box.children].find((one) => one.dataset.node === key);
  if (!group) {
    group = element("div", { class: "node-group", "data-node": key }, element("h3", {}, key), element("ul", {}));
    box.append(group);
  }
  const list = group.querySelector("ul");
  let item = [...list.children].find((one) => one.dataset.name === name);
  if (!item) {
    const summary = element("summary", {}, element("span", { class: "dot-html", "aria-hidden": "true" }), element("span", { class: "name" }, name), " ", element("span", { class: "words" }));
    item = element("li", { "data-name": name }, element("details", {}, summary, element("p", { class: "model" }), element("div", { class: "table-scroll" }, element("table"))));
    list.append(item);
  }
  return item;
}

function standing({ safe, alarms, identity }) {
  if (safe) return safe.verified ? { state: "safe", words: "verified safe" } : { state: "bad", words: `NOT verified safe: ${safe.problem}` };
  const last = alarms.at(-1);
  if (last) return { state: "warning", words: `${duration(last.t)} ${last.text}` };
  return identity ? { state: "ok", words: "answers" } : { state: "unknown", words: "not asked yet" };
}

function settings(table, { name, before, after }) {
  const key = JSON.stringify([before, after]);
  if ((!before && !after) || table.dataset.key === key) return;
  table.dataset.key = key;
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
  const value = (one) => (typeof one === "number" ? short(one) : one === undefined || one === null ? "–" : String(one));
  table.replaceChildren(
    element("caption", { class: "unseen" }, `Settings of ${name}`),
    element("thead", {}, element("tr", {}, ...["Setting", "Before", "After"].map((text) => element("th", { scope: "col" }, text)))),
    element("tbody", {}, ...names.map((setting) => element("tr", {}, element("th", { scope: "row" }, setting), element("td", {}, value(before?.[setting])), element("td", {}, value(after?.[setting]))))),
  );
}

function drawInterlocks(run) {
  const list = byId("interlocks");
  list.hidden = !run.interlocks.size;
  const items = [...run.interlocks.values()].map(({ name, state, value, message }) =>
    element("li", { "data-state": state }, element("strong", {}, name), ` ${state}${value === null || value === undefined ? "" : ` at ${short(value)}`}${message ? `: ${message}` : ""}`));
  if (list.textContent !== items.map((item) => item.textContent).join("")) list.replaceChildren(...items);
}
