"""The dashboard in a real browser: it shows a simulated run live, misses and doubles nothing when its server
goes away, replays, asks nobody else for anything, and can be used by everybody.

Needs a Chromium: that of the system, or that of Playwright (`playwright install chromium`).
"""

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from bellbench.commands.dashboard import newest
from bellbench.commands.report import write_report
from bellbench.dashboard.server import DashboardServer, Source, listen, url_of
from tests.bellbench.dashboard_stream import RUN, MadeUpRun

CONFIGS = Path(__file__).parents[2] / "configs"
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
DESK, PHONE = {"width": 1366, "height": 900}, {"width": 360, "height": 740}
PATIENCE_MS, RUN_MS = 30_000, 120_000
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        system = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if system is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip(
                "NO BROWSER: the dashboard is NOT tested. Install chromium, or `playwright install chromium`"
            )
        made = playwright.chromium.launch(executable_path=system, args=list(FLAGS))
        yield made
        made.close()


class Visitor:
    """Opens pages, and writes down what must not be: a word on the console, a request to anybody else."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []

    def open(self, url: str, **look: Any) -> Page:
        context = self._browser.new_context(viewport=look.pop("viewport", DESK), **look)
        self._contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", lambda said: self.complaints.append(said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda asked: self._note(asked.url, url))
        page.goto(url)
        return page

    def _note(self, asked: str, url: str) -> None:
        if not asked.startswith((url.partition("#")[0], "data:")):
            self.elsewhere.append(asked)

    def close(self) -> None:
        """All pages. May be repeated."""
        while self._contexts:
            self._contexts.pop().close()


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    made = Visitor(browser)
    yield made
    made.close()
    assert made.complaints == []
    assert made.elsewhere == []


class Served:
    """A dashboard that can be stopped and started again at the same port."""

    def __init__(self, source: Source, speed: float | None = None) -> None:
        self._source, self._speed = source, speed
        self._port = 0
        self.start()

    def start(self) -> None:
        self._listening = listen(self._port)
        self.url = url_of(self._listening)
        self._port = self._listening.getsockname()[1]
        self._server = DashboardServer(self._source, self._speed)
        self._thread = threading.Thread(target=self._server.serve, args=(self._listening,))
        self._thread.start()

    def stop(self) -> None:
        self._server.stop()
        self._thread.join(10)
        self._listening.close()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[MadeUpRun]:
    made = MadeUpRun(tmp_path)
    made.begin()
    yield made
    made.close()


@contextmanager
def serving(visitor: Visitor, source: Source, speed: float | None = None) -> Iterator[Served]:
    made = Served(source, speed)
    try:
        yield made
    finally:
        visitor.close()  # a page that is still open complains when its server has gone
        made.stop()


@pytest.fixture
def served(visitor: Visitor, run: MadeUpRun) -> Iterator[Served]:
    with serving(visitor, lambda: run.folder) as made:
        yield made


def whole(run: MadeUpRun, *, of: int = 20) -> MadeUpRun:
    """The run with everything that a page can show, over."""
    run.measure(of)
    run.compensate()
    run.warn()
    run.end()
    return run


def expect_documents(page: Page, run: MadeUpRun) -> None:
    """All of them, and none twice."""
    lines = (run.folder / "documents.jsonl").read_text().count("\n")
    expect(page.locator("#foot")).to_contain_text(f"{lines} documents of {run.folder.name};")


def wrong(page: Page) -> list[str]:
    """What the accessibility check finds."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [f"{v['id']}: {node['html'][:120]} {node['failureSummary']}" for v in found for node in v["nodes"]]


# A simulated run, by the command that people use.


@pytest.mark.timeout(240)
def test_a_simulated_run_is_shown_live_to_its_end(visitor: Visitor, tmp_path: Path) -> None:
    """At a tenth of the pump power, so that a tenth of the clicks has to be simulated."""
    text = (CONFIGS / "nyc_swapping.yaml").read_text()
    text = text.replace("[ZZ, XX, CHSH], dwell: 100 s", "[ZZ], dwell: 5 s").replace("20 mW", "2 mW")
    text = text.replace("testbeds/nyc.yaml", str(CONFIGS / "testbeds/nyc.yaml")).replace(
        "raw: 1 s", "raw: 0 s"
    )
    (tmp_path / "short.yaml").write_text(text)
    command = [Path(sys.executable).with_name("bellbench"), "run", "short.yaml", "--seed", "1"]
    with subprocess.Popen(
        [*command, "--dashboard", "--quiet"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        told = process.stderr.readline()
        page = visitor.open(told.removeprefix("dashboard: ").strip())
        expect(page.locator("#state")).to_have_text("running")
        expect(page.locator("#connection")).to_have_text("live")
        expect(page.locator("#title")).to_have_text("Entanglement swapping over 17.6 km of deployed fibre")
        expect(page.locator("#state")).to_have_text("completed", timeout=RUN_MS)
        errors = process.communicate()[1]
    assert process.returncode == 0, errors
    assert page.locator("#steps li").count() == 3
    assert page.locator("#peaks svg .band").count() == 2  # a window for each spoke
    assert page.locator("#map .fibre").count() == 2
    assert all("/s" in text for text in page.locator("#map .node-rate").all_text_contents())
    assert page.locator("#instruments li[data-state=safe]").count() == 14
    (folder,) = (tmp_path / "runs").iterdir()
    lines = (folder / "documents.jsonl").read_text().count("\n")
    expect(page.locator("#foot")).to_contain_text(f"{lines} documents of {folder.name};")
    report = (folder / "report.html").read_text()
    assert "Entanglement swapping over 17.6 km" in report
    # Its server has gone with the run; what was seen stays, and the page says so.
    expect(page.locator("#connection")).to_have_text("no connection")
    visitor.complaints = [said for said in visitor.complaints if "ERR_CONNECTION_REFUSED" not in said]


# What happens to the connection.


def test_it_comes_back_to_a_server_that_was_away_and_misses_nothing(
    visitor: Visitor, run: MadeUpRun, served: Served
) -> None:
    run.measure(30)
    page = visitor.open(served.url)
    expect_documents(page, run)
    expect(page.locator("#connection")).to_have_text("live")
    served.stop()
    expect(page.locator("#connection")).to_have_text("no connection")
    run.measure(20)
    served.start()
    expect(page.locator("#connection")).to_have_text("live")
    expect_documents(page, run)
    run.measure(5)
    expect_documents(page, run)
    expect(page.locator("[data-figure='four-folds'] .value")).to_have_text("82")  # 1.5 in each of 55 s
    visitor.complaints = [said for said in visitor.complaints if "ERR_" not in said]


def test_with_last_it_goes_over_to_a_newer_run(visitor: Visitor, run: MadeUpRun, tmp_path: Path) -> None:
    (run.folder / "run.json").write_text("{}")
    whole(run)
    with serving(visitor, lambda: newest(tmp_path)) as served:
        page = visitor.open(served.url)
        expect_documents(page, run)
        newer = MadeUpRun(tmp_path, RUN.replace("03-10", "04-10"))
        newer.begin()
        (newer.folder / "run.json").write_text("{}")
        expect_documents(page, newer)
        expect(page.locator("#state")).to_have_text("running")
        expect(page.locator("#cards > *")).to_have_count(0)  # nothing is left of the other
        newer.close()


# Replay.


def seconds(page: Page) -> float:
    text = page.locator("#at").inner_text().partition(" / ")[0]
    minutes, rest = text.split(":")
    return 60 * float(minutes) + float(rest)


def test_a_stored_run_is_shown_whole_and_replayed_from_anywhere(
    visitor: Visitor, run: MadeUpRun, served: Served
) -> None:
    whole(run, of=300)
    page = visitor.open(served.url)
    expect_documents(page, run)
    expect(page.locator("#connection")).to_have_text("stored run")
    page.locator("#seek").fill("100")
    expect(page.locator("#at")).to_have_text("1:40 / 5:24")
    expect(page.locator("#state")).to_have_text("running")
    expect(page.locator("[data-figure='four-folds'] .value")).to_have_text("114")  # 1.5 in each of 76 s
    page.locator("#speed").select_option("60")
    page.get_by_role("button", name="Play").click()
    expect(page.locator("#at")).not_to_have_text("1:40 / 5:24")
    page.get_by_role("button", name="Pause").click()
    paused_s = seconds(page)
    assert 100 < paused_s < 324
    page.get_by_role("button", name="Play").click()
    expect(page.locator("#state")).to_have_text("completed")
    expect_documents(page, run)
    page.locator("#seek").fill("50")
    expect(page.locator("#at")).to_have_text("0:50 / 5:24")
    page.get_by_role("button", name="Whole run").click()
    expect_documents(page, run)


def test_a_run_begins_with_its_replay_when_a_speed_was_given(visitor: Visitor, run: MadeUpRun) -> None:
    whole(run, of=300)
    with serving(visitor, lambda: run.folder, speed=40.0) as served:
        page = visitor.open(served.url)
        expect(page.locator("#connection")).to_have_text("replay")
        expect(page.locator("#speed")).to_have_value("40")
        expect(page.locator("#state")).to_have_text("running")
        page.locator("#speed").select_option("600")
        expect_documents(page, run)


# Everything that there is, for everybody.


def test_everything_that_a_run_tells_is_on_the_page(visitor: Visitor, run: MadeUpRun, served: Served) -> None:
    whole(run)
    page = visitor.open(served.url)
    expect_documents(page, run)
    expect(page.locator("[data-figure=fidelity]")).to_contain_text(re.compile(r"0\.830\s*±\s*0\.067"))
    expect(page.locator("#growth figure")).to_have_count(
        2
    )  # S and fidelity; a figure without a value is none
    expect(page.locator("#peaks")).to_contain_text("Peak at 43,100,000 ± 4 ps, window of 2,200 ps")
    expect(page.locator("#scans")).to_contain_text("Visibility 0.800 ± 0.030")
    expect(page.locator("#links")).to_contain_text("Fidelity 0.9995")
    expect(page.locator("#links")).to_contain_text("1 compensation")
    expect(page.locator("#links .jump")).to_have_count(1)
    expect(page.locator("#counts figure")).to_have_count(5)  # heralds, four-folds, three groups of detectors
    expect(page.locator("#uptime")).to_contain_text("up for 100.00 %")
    expect(page.locator("#interlocks")).to_contain_text("fridge ok at 2.4")
    expect(page.locator("#events")).to_contain_text("hub_tagger dropped 12 tags")
    expect(page.locator("[data-name=bob_pump]")).to_contain_text("NOT verified safe: does not answer")
    expect(page.locator("#map")).to_contain_text("alice_fibre from alice to hub, 8.8 km")
    expect(page.locator("#news")).to_contain_text("Run completed")
    # The numbers behind a chart are a table.
    chart = page.locator("#scans figure").first
    chart.get_by_text("Numbers").click()
    expect(chart.locator("tbody tr")).to_have_count(21)


def test_what_a_run_says_does_not_become_part_of_the_page(
    visitor: Visitor, run: MadeUpRun, served: Served
) -> None:
    from experiments.engine.events import Happened, PolarizationSeen, Scan

    markup = "<img src=x onerror=alert(1)>"
    run.say(
        Happened("e", markup, {"instrument": markup}, "warning"),
        Scan(markup, (0.0, 1.0), (0.0, 1.0), (0.1, 0.1), (), markup, markup),
        PolarizationSeen(markup, 1.0, 0.0, 0.0, 1.0, "check"),
    )
    page = visitor.open(served.url)
    expect(page.locator("#events")).to_contain_text(markup)
    expect_documents(page, run)
    assert page.locator("img").count() == 0


@pytest.mark.parametrize(("scheme", "size"), [("dark", DESK), ("light", PHONE)])
def test_it_is_accessible(visitor: Visitor, run: MadeUpRun, served: Served, scheme: str, size: Any) -> None:
    whole(run)
    page = visitor.open(served.url, viewport=size, color_scheme=scheme, reduced_motion="reduce")
    expect_documents(page, run)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert wrong(page) == []
    page.get_by_role("button", name="Big numbers").click()
    assert wrong(page) == []
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_on_a_phone_nothing_has_to_be_scrolled_sideways(
    visitor: Visitor, run: MadeUpRun, served: Served
) -> None:
    whole(run)
    page = visitor.open(served.url, viewport=PHONE)
    expect_documents(page, run)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    for button in page.get_by_role("button").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 44  # a finger


def test_a_keyboard_reaches_everything_in_the_order_of_the_page(
    visitor: Visitor, run: MadeUpRun, served: Served
) -> None:
    whole(run)
    page = visitor.open(served.url)
    expect_documents(page, run)
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        place = page.evaluate("""() => {
            const here = document.activeElement;
            const line = getComputedStyle(here);
            return [here.id || here.className || here.tagName, here.getBoundingClientRect().top + scrollY,
                    line.outlineStyle !== 'none' && parseFloat(line.outlineWidth) >= 2];
        }""")
        if place[0] == "BODY":
            break
        reached.append(place)
    names = [name for name, _, _ in reached]
    assert names[:7] == ["skip", "big", "theme", "play", "seek", "speed", "whole"]
    assert "sphere" in names
    assert "events" in names
    assert all(visible for _, _, visible in reached)
    # The skip link goes past the head; arrows turn a sphere.
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    before = page.locator(".sphere svg").inner_html()
    page.locator(".sphere").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".sphere svg").inner_html() != before


def test_light_moves_only_for_those_who_want_it(visitor: Visitor, run: MadeUpRun, served: Served) -> None:
    run.measure(5)
    motion = "getComputedStyle(document.querySelector('.light.lit')).animationName"
    for wish, name in (("no-preference", "flow"), ("reduce", "none")):
        page = visitor.open(served.url, reduced_motion=wish)
        expect_documents(page, run)
        expect(page.locator(".light.lit")).to_have_count(2)
        assert page.evaluate(motion) == name


def test_the_theme_that_was_chosen_stays(visitor: Visitor, run: MadeUpRun, served: Served) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page = visitor.open(served.url, color_scheme="light")
    light = page.evaluate(ground)
    page.get_by_role("button", name="Dark").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark
    expect(page.locator("#theme")).to_have_text("Light")


def test_a_report_opens_offline_and_is_accessible(visitor: Visitor, run: MadeUpRun) -> None:
    whole(run)
    write_report(run.folder)
    page = visitor.open((run.folder / "report.html").as_uri(), java_script_enabled=True, offline=True)
    expect(page.get_by_role("heading", level=1)).to_have_text("A run that was made up")
    pictures = page.locator("figure img")
    assert pictures.count() >= 6
    assert all(pictures.evaluate_all("all => all.map(one => one.complete && one.naturalWidth > 300)"))
    assert wrong(page) == []
    page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
