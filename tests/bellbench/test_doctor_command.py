"""What `bellbench doctor` prints; its tests over benches are among those of the panel."""

import pytest

from bellbench.commands.doctor import _print


@pytest.mark.parametrize("words", ["[/OFF]", "[red]"])
def test_brackets_of_instruments_are_brackets(
    words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    laser = {"name": "laser", "model": "toptica_dlcpro", "address": f"tcp://[::1]:1?{words}"}
    said = {
        "manufacturer": "maker",
        "model": f"model {words}",
        "serial_number": "1",
        "firmware": f"fw {words}",
    }
    _print(
        [
            laser | {"error": f"(get 'x) was answered by {words}"},
            laser | {"identity": said, "settled": False, "state": {"power": f"not known: {words}"}},
        ],
        [],
    )
    page = capsys.readouterr().out
    assert page.count(f"tcp://[::1]:1?{words}") == 2
    for shown in (f"answered by {words}", f"model {words} 1", f"fw {words}", f"power not known: {words}"):
        assert shown in page
    assert "moving" in page
