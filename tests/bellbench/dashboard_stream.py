"""A journal such as a run writes, made by the writer that runs use, with everything in it that a page can
show."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from experiments.engine.documents import Documents
from experiments.engine.events import (
    Baseline,
    Happened,
    Interlock,
    Live,
    Peaks,
    PolarizationSeen,
    Progress,
    Rates,
    SafeSeen,
    Scan,
    StateChanged,
    StepBegan,
    StepEnded,
    StreamEvent,
    Uptime,
)
from experiments.engine.outcome import Ending, Exit, State
from experiments.estimators.estimate import Estimate

RUN = "2026-11-22T03-10-07Z-made_up-7f3a"
DETECTORS = ("alice_h", "alice_v", "bob_h", "bob_v", "hub_ch", "hub_cv", "hub_dh", "hub_dv")
MAP: Mapping[str, object] = {
    "run": RUN,
    "experiment": "made_up",
    "title": "A run that was made up",
    "seed": 1,
    "plan": ["bring_up", "calibrate_delays", "measure_swapping"],
    "testbed": "made_up",
    "simulated": True,
    "nodes": {"alice": {"title": "Spoke"}, "bob": {"title": ""}, "hub": {"title": "Hub"}},
    "instruments": {
        "alice_pump": {"node": "alice", "model": "toptica_dlcpro"},
        "bob_pump": {"node": "bob", "model": "toptica_dlcpro"},
        "hub_nanowires": {"node": "hub", "model": "singlequantum_websq"},
        "hub_tagger": {"node": "hub", "model": "idq_id900"},
        "alice_tagger": {"node": "alice", "model": "idq_id900"},
        "bob_tagger": {"node": "bob", "model": "idq_id900"},
    },
    "fibres": {
        "alice_fibre": {"from": "alice", "to": "hub", "length_m": 8800.0},
        "bob_fibre": {"from": "bob", "to": "hub", "length_m": 8800.0},
    },
    "sources": {
        f"{name}_source": {
            "node": name,
            "signal": [f"{name}_analyser"],
            "idler": [f"{name}_fibre", f"hub_bsm.{port}"],
            "signal_wavelength_m": 795e-9,
            "idler_wavelength_m": 1324e-9,
        }
        for name, port in (("alice", "a"), ("bob", "b"))
    },
    "beams": {},
    "analysers": {"alice_analyser": {"node": "alice"}, "bob_analyser": {"node": "bob"}},
    "bell_state_measurements": {"hub_bsm": {"node": "hub"}},
    "detectors": {
        name: {"tagger": f"{name.split('_')[0]}_tagger.{n % 4 + 1}"} for n, name in enumerate(DETECTORS)
    },
}


class MadeUpRun:
    """Writes a run into a folder of its own beneath `runs`, as far as it is told to."""

    def __init__(self, runs: Path, run: str = RUN) -> None:
        self.folder = runs / run
        self.folder.mkdir(parents=True)
        self._documents = Documents(self.folder / "documents.jsonl")
        self._random = np.random.default_rng(1)
        self._run = run
        self.now_s = 0.0

    def say(self, *events: StreamEvent) -> None:
        for event in events:
            self._documents.event(event, self.now_s)

    def begin(self) -> None:
        """Up to the calibration: the instruments answer, light is on, the peaks are found."""
        self._documents.start({**MAP, "run": self._run})
        self.say(StateChanged(self._run, State.PREPARING))
        for name in ("alice_pump", "bob_pump", "hub_nanowires", "hub_tagger"):
            about = {"instrument": name, "manufacturer": "M", "model": "X1", "serial_number": "7"}
            self.say(Happened("instrument", f"{name}: M X1, serial number 7", about))
            self.say(Baseline("before", name, {"power": 0.0, "emission": False}))
        self.say(StateChanged(self._run, State.RUNNING), StepBegan(1, 3, "bring_up", 20.0))
        self.now_s = 20.0
        self.say(StepEnded(1, 3, "bring_up", 20.0), StepBegan(2, 3, "calibrate_delays", 4.0))
        self.now_s = 24.0
        for name in ("alice", "bob"):
            delays = np.arange(-5000, 5000, 100)
            counts = self._random.poisson(40 + 800 * np.exp(-np.abs(delays) / 500))
            self.say(
                Peaks(
                    name,
                    43.1e6 - 5000,
                    100.0,
                    tuple(counts.tolist()),
                    43.1e6 - 1100,
                    43.1e6 + 1100,
                    43.1e6,
                    4.0,
                )
            )
        self.say(StepEnded(2, 3, "calibrate_delays", 4.0), StepBegan(3, 3, "measure_swapping", 600.0))
        self.say(Uptime("up"), Interlock("fridge", "ok", 2.4))

    def measure(self, seconds: int, *, of: int = 600) -> None:
        """Go on so many seconds of the measurement."""
        for _ in range(seconds):
            self.now_s += 1.0
            live_s = self.now_s - 24.0
            rates = dict(zip(DETECTORS, self._random.normal(3e5, 500, len(DETECTORS)), strict=True))
            fourfolds = int(1.5 * live_s)
            s = Estimate(2.24 + 0.4 / math.sqrt(live_s) * math.sin(live_s), 1.4 / math.sqrt(live_s))
            fidelity = Estimate(0.83, 0.3 / math.sqrt(live_s))
            self.say(
                Progress("ZZ, 1 of 6", self.now_s, max(of - live_s, 0.0)),
                Rates(rates),
                Live(int(4e4 * live_s), fourfolds, live_s, {"chsh_s": s, "fidelity": fidelity, "qber": None}),
            )

    def compensate(self) -> None:
        """Polarization that has drifted and is brought back, and a scan."""
        for n in range(6):
            angle = 0.15 * n
            s = (math.cos(angle), math.sin(angle), 0.0)
            self.say(PolarizationSeen("alice_fibre", *s, (1 + s[0]) / 2, "check"))
        self.say(PolarizationSeen("alice_fibre", *s, (1 + s[0]) / 2, "before", "stokes"))
        self.say(PolarizationSeen("alice_fibre", 0.999, 0.02, -0.02, 0.9995, "after", "stokes"))
        x = tuple(np.linspace(-2, 2, 21).tolist())
        fit = tuple(100 * (1 - 0.8 * math.exp(-(t**2))) for t in x)
        y = tuple(f + 3 * math.sin(9 * f) for f in fit)
        summary = {"visibility": {"value": 0.8, "error": 0.03}}
        self.say(Scan("hom_dip", x, y, (10.0,) * 21, fit, "delay (ns)", "coincidences", summary))

    def warn(self) -> None:
        """Something that is to be seen and heard."""
        self.say(Happened("tags lost", "hub_tagger dropped 12 tags", {"instrument": "hub_tagger"}, "warning"))

    def end(self) -> None:
        """Made safe but for one, completed."""
        self.say(StepEnded(3, 3, "measure_swapping", self.now_s - 24.0))
        self.say(SafeSeen("alice_pump", True), SafeSeen("bob_pump", False, "does not answer"))
        self.say(StateChanged(self._run, State.COMPLETED))
        self._documents.stop(Ending(State.COMPLETED, Exit.DONE))

    def close(self) -> None:
        """Let go of the file; what was written stays."""
        self._documents.close()
