// The page: takes the documents of the run and shows what they say, at most ten times a second.

import { byId, say } from "./dom.js";
import { Panels } from "./panels.js";
import { Run } from "./run.js";
import { Stream } from "./stream.js";
import { duration } from "./text.js";

const FRAME_MS = 100;
const QUIET_S = 20;
const CONNECTION = {
  connecting: "connecting",
  live: "live",
  replay: "replay",
  stored: "stored run",
  waiting: "waiting for a run",
  died: "interrupted: its process is gone",
  "no connection": "no connection",
};

let run = new Run();
let about = { run: "", end_s: 0, ended: false, speed: null };
let connection = "connecting";
let heard = performance.now();
let due = false;
const panels = new Panels();

const stream = new Stream({
  began(told) {
    about = told;
    run = new Run();
    panels.clear();
    if (told.speed) choose(told.speed);
    show();
  },
  documents(list) {
    for (const document of list) run.apply(document);
    heard = performance.now();
    show();
  },
  connection(word) {
    connection = word;
    heard = performance.now();
    show();
  },
});

/** Draws soon: what comes within a tenth of a second is drawn together. */
function show() {
  if (due) return;
  due = true;
  setTimeout(() => {
    due = false;
    panels.draw(run, about);
    drawConnection();
    drawReplay();
  }, FRAME_MS);
}

function drawConnection() {
  const silent = (performance.now() - heard) / 1000;
  const quiet = connection === "live" && !run.ended && silent > QUIET_S;
  const pill = byId("connection");
  say(pill, quiet ? `no news for ${duration(silent)}` : run.ended && connection === "live" ? "run is over" : CONNECTION[connection]);
  pill.dataset.word = quiet ? "quiet" : connection;
}

function drawReplay() {
  const form = byId("replay");
  form.hidden = !(about.ended || run.ended || connection === "died" || connection === "replay" || connection === "paused");
  if (form.hidden) return;
  const end = Math.max(about.end_s, run.time);
  const seek = byId("seek");
  seek.max = Math.max(end, 0.001);
  if (document.activeElement !== seek || connection === "replay") seek.value = run.time;
  seek.setAttribute("aria-valuetext", `${duration(run.time)} of ${duration(end)}`);
  say(byId("at"), `${duration(run.time)} / ${duration(end)}`);
  say(byId("play"), playing() ? "Pause" : "Play");
}

function playing() {
  return connection === "replay" && about.speed !== 0 && !run.ended;
}

function choose(value) {
  const speed = byId("speed");
  if (![...speed.options].some((option) => Number(option.value) === value)) {
    speed.add(new Option(`${value}×`, value));
  }
  speed.value = String(value);
}

const speed = () => Number(byId("speed").value);

byId("play").addEventListener("click", () => {
  if (playing()) {
    stream.hold();
    about = { ...about, speed: 0 };
  } else {
    const held = connection === "replay" && !run.ended;
    about = { ...about, speed: speed() };
    if (held && stream.place) stream.goOn(speed());
    else stream.replay(run.ended ? 0 : run.time, speed());
  }
  show();
});
byId("seek").addEventListener("change", (event) => {
  const on = playing() ? speed() : 0;
  stream.replay(Number(event.target.value), on);
});
byId("speed").addEventListener("change", () => {
  if (playing()) {
    about = { ...about, speed: speed() };
    stream.goOn(speed());
  }
});
byId("whole").addEventListener("click", () => {
  stream.place = "";
  stream.run = "";
  stream.replay(Math.max(about.end_s, run.time) + 1, 0);
});
byId("replay").addEventListener("submit", (event) => event.preventDefault());

const root = document.documentElement;
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ?? (systemIsDark.matches ? "dark" : "light")) === "dark";

function nameTheme() {
  say(byId("theme"), isDark() ? "Light" : "Dark");
}

byId("theme").addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  localStorage.setItem("bellbench-theme", root.dataset.theme);
  nameTheme();
});
systemIsDark.addEventListener("change", nameTheme);
nameTheme();

byId("big").addEventListener("click", (event) => {
  const on = document.body.classList.toggle("big");
  event.target.setAttribute("aria-pressed", String(on));
  history.replaceState(null, "", on ? "#big" : "#");
});
if (location.hash === "#big") byId("big").click();

setInterval(drawConnection, 1000);
stream.open();
