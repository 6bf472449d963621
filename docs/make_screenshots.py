"""Make the pictures of the dashboard and of a report from a real run, with a Chromium:
`.venv/bin/python -m docs.make_screenshots`, three minutes.

It carries out the deployed-fibre experiment with polarization compensation and seed 1, takes the dashboard
when the replay of the run is nearly done, and the report at the end.
"""

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect, sync_playwright

from bellbench.commands.report import write_report
from bellbench.dashboard.server import DashboardServer, listen, url_of
from bellbench.session import Session
from experiments.config.files import load_experiment

TREE = Path(__file__).parents[1]
PICTURES = TREE / "docs/pictures"
SEED = 1
TAKEN_AT = 0.97
LOOKS: dict[str, dict[str, Any]] = {
    "dashboard-light": {"viewport": {"width": 1440, "height": 1010}, "color_scheme": "light"},
    "dashboard-dark": {"viewport": {"width": 1440, "height": 1010}, "color_scheme": "dark"},
    "dashboard-phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"},
}
REPORT = {"width": 900, "height": 1120}


async def carry_out(runs: Path) -> Path:
    """The run's folder."""
    loaded = load_experiment(TREE / "configs/nyc_compensated.yaml")
    report = await Session(loaded, runs, SEED).carry_out()
    assert report.folder is not None
    assert report.ending.exit == 0, report.ending.message
    return report.folder


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of the run's dashboard."""
    listening = listen()
    server = DashboardServer(lambda: folder)
    thread = threading.Thread(target=server.serve, args=(listening,))
    thread.start()
    try:
        yield url_of(listening)
    finally:
        server.stop()
        thread.join()
        listening.close()


def take(browser: Browser, folder: Path) -> None:
    """All pictures."""
    with served(folder) as url:
        for name, look in LOOKS.items():
            page = browser.new_page(**look, reduced_motion="reduce", device_scale_factor=1)
            page.goto(url)
            expect(page.locator("#state")).to_have_text("completed")
            page.locator("#seek").fill(str(TAKEN_AT * float(page.locator("#seek").get_attribute("max") or 1)))
            expect(page.locator("#state")).to_have_text("running")
            page.evaluate("document.activeElement.blur()")
            page.wait_for_timeout(500)
            page.screenshot(path=PICTURES / f"{name}.png")
            if name == "dashboard-light":
                page.locator("#links-section").screenshot(path=PICTURES / "dashboard-polarization.png")
            page.close()
    page = browser.new_page(viewport=REPORT)
    page.goto((folder / "report.html").as_uri())
    page.screenshot(path=PICTURES / "report.png")
    page.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as runs:
        folder = asyncio.run(carry_out(Path(runs)))
        write_report(folder)
        with sync_playwright() as playwright:
            chromium = shutil.which("chromium")
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            take(browser, folder)
            browser.close()


if __name__ == "__main__":
    main()
