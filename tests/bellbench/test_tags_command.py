"""`bellbench tags`: its figures against brute force on a small file, its files, its errors."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bellbench.cli import call
from bellbench.commands.tags import reading
from bellbench.commands.tags.terminal_plot import histogram
from bellbench.exit_codes import ExitCode
from timetags.block import TagBlock
from timetags.files.segments import SegmentFolder, SegmentWriter

END = 10**9
HUB, ALICE, BOB = (5, 6, 7, 8), (1, 2), (3, 4)


def made() -> list[tuple[int, int]]:
    """400 groups of clicks of all channels within some ns, so that everything happens a few times."""
    random = np.random.default_rng(1)
    groups = random.integers(10_000, END - 10_000, 400)
    chosen = [
        (int(t + random.integers(-1500, 1500)), c)
        for t in groups
        for c in range(1, 9)
        if random.random() < 0.6
    ]
    return sorted(chosen)


TAGS = made()


def write(folder: Path, lost: int = 0) -> Path:
    times = np.array([t for t, _ in TAGS], np.int64)
    channels = np.array([c for _, c in TAGS], np.uint8)
    whole = TagBlock(times, channels, 0, END)
    with SegmentWriter(folder, rows=1) as writer:
        for begin in range(0, END, END // 4):
            piece = whole.between(begin, begin + END // 4)
            writer.append(TagBlock(piece.times, piece.channels, piece.start_ps, piece.end_ps, lost))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "tags")


def answer(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert call(["tags", *map(str, arguments), "--json"]) == ExitCode.DONE
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


def of(channel: int, delay: int = 0) -> list[int]:
    return [t + delay for t, c in TAGS if c == channel]


def near(channel: int, twice: int, window: int, delay: int = 0, centre: int = 0) -> int:
    """Clicks t of a channel with -window/2 <= t - twice/2 - centre < window/2."""
    return sum(-window <= 2 * (t - centre) - twice < window for t in of(channel, delay))


def test_info_counts_every_tag(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = answer(capsys, "info", folder)
    assert (facts["format"], facts["tags"], facts["duration_s"]) == (
        "bellbench segments (4)",
        len(TAGS),
        1e-3,
    )
    assert {c["channel"]: c["tags"] for c in facts["channels"]} == {c: len(of(c)) for c in range(1, 9)}
    assert facts["channels"][2]["rate_hz"] == pytest.approx(len(of(3)) / 1e-3)
    assert call(["tags", "info", str(folder)]) == ExitCode.DONE
    out, err = capsys.readouterr()
    assert f"{len(TAGS):,} tags in 0.0 MB, in steps of 1 ps\n1 ms long\n" in out
    assert err == ""


def test_loss_and_damage_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "tags", lost=7)
    torn = folder / "00000002.parquet"
    torn.write_bytes(torn.read_bytes()[:-50])
    facts = answer(capsys, "info", folder)
    assert facts["lost"] == 21
    assert facts["tags"] == sum(not END // 4 <= t < END // 2 for t, _ in TAGS)
    (damage,) = facts["damage"]
    assert "00000002.parquet" in damage["reason"]
    call(["tags", "info", str(folder)])
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"{folder}: 21 tags were lost by the instrument: rates are too low"
    assert second.startswith(f"{folder}: damaged: ")


def test_rates_of_a_torn_file_go_by_what_is_whole(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its header still states the whole duration, as that of a whole file does whose last tag comes early."""
    path = tmp_path / "tags.ptu"
    answer(capsys, "convert", folder, path)
    assert answer(capsys, "info", path)["duration_s"] == pytest.approx(END * 1e-12)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    facts = answer(capsys, "info", path)
    kept = TAGS[: facts["tags"]]
    seconds = (kept[-1][0] + 1) * 1e-12
    assert facts["damage"]
    assert facts["duration_s"] == pytest.approx(seconds, rel=1e-3)
    assert facts["duration_s"] < 0.7 * END * 1e-12
    for channel in facts["channels"]:
        number = sum(c == channel["channel"] for _, c in kept)
        assert channel["rate_hz"] == pytest.approx(number / seconds, rel=1e-3)
    (row,) = answer(capsys, "coincide", path, "--pattern", "1,2", "--window", "3ns")["coincidences"]
    assert row["rate_hz"] == pytest.approx(row["count"] / seconds, rel=1e-3)


def test_correlate_is_brute_force(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = answer(
        capsys,
        "correlate",
        folder,
        "1,2",
        "3",
        "--bin",
        "300 ps",
        "--range",
        "-2ns .. 2.2ns",
        "--delay",
        "3=0.25ns",
    )
    differences = [b - a for one in ALICE for a in of(one) for b in of(3, 250)]
    edges = np.arange(-2000, 2201, 300)
    assert facts["counts"] == np.histogram(differences, np.append(edges[:-1], edges[-1] - 0.5))[0].tolist()
    assert facts["range_ps"] == [-2000, 2200]
    assert facts["pairs"] == sum(facts["counts"])


def test_a_range_is_made_up_to_whole_bins_and_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "correlate", folder, 1, 3, "--bin", "700ps", "--range", "1ns")["range_ps"] == [
        -1000,
        1100,
    ]
    assert call(["tags", "correlate", str(folder), "1", "3", "--range", "3ns"]) == ExitCode.DONE
    out = capsys.readouterr().out
    assert out.startswith("t(3) - t(1), bins of 100 ps\n")
    assert "█" in out
    assert "-3 ns" in out


def rows(facts: dict[str, Any]) -> dict[str, int]:
    return {row["name"]: row["count"] for row in facts["coincidences"]}


def test_folds_and_matrix_are_brute_force(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    delays = ("--delay", "3=-100ps", "--window", "901ps", "--window", "4=1.2ns")
    facts = answer(capsys, "coincide", folder, "--channels", "1,3,4", *delays)
    three = [near(3, 2 * t, 901, -100) for t in of(1)]
    four = [near(4, 2 * t, 1200) for t in of(1)]
    assert rows(facts) == {
        "1 & 3": sum(three),
        "1 & 4": sum(four),
        "3 & 4": sum(near(4, 2 * t, 1200) for t in of(3, -100)),
        "1 & 3 & 4": sum(a * b for a, b in zip(three, four, strict=True)),
    }
    assert min(rows(facts).values()) > 5
    only = answer(capsys, "coincide", folder, "--channels", "1,3,4", "--fold", 3, *delays)
    assert rows(only) == {"1 & 3 & 4": rows(facts)["1 & 3 & 4"]}
    same = answer(capsys, "coincide", folder, "--pattern", "1,3,4", "--pattern", "1,4", *delays)
    assert rows(same) == {name: rows(facts)[name] for name in ("1 & 3 & 4", "1 & 4")}

    matrix = answer(capsys, "coincide", folder, "--party", "1,2", "--party", "3,4", "--window", "1ns")
    assert matrix["shape"] == [2, 2]
    assert rows(matrix) == {
        f"{a} & {b}": sum(near(b, 2 * t, 1000) for t in of(a)) for a, b in product(ALICE, BOB)
    }


def test_heralded_folds_are_brute_force(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spokes = (
        "--spoke",
        "1,2",
        "--spoke",
        "3,4",
        "--window",
        "2ns",
        "--centre",
        "150ps",
        "--bsm-window",
        "800ps",
    )
    facts = answer(
        capsys, "coincide", folder, "--hub", "5,6,7,8", *spokes, "--herald", "Psi+", "--herald", "cH&dV"
    )
    kinds = {"Psi+": ((5, 6), (7, 8)), "cH&dV": ((5, 8),)}
    heralds, expected = [], {}
    for kind, pairs in kinds.items():
        sums = [a + b for one, two in pairs for a in of(one) for b in of(two) if -800 <= 2 * (a - b) < 800]
        heralds.append(len(sums))
        for a, b in product(ALICE, BOB):
            clicks = ((near(a, s, 2000, centre=150), near(b, s, 2000, centre=150)) for s in sums)
            expected[f"{kind}: {a} & {b}"] = sum(x * y for x, y in clicks)
    assert facts["heralds"] == heralds
    assert rows(facts) == expected
    assert min(expected.values()) > 0


def test_accidentals_are_the_mean_of_ten_displaced_windows(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = answer(
        capsys,
        "coincide",
        folder,
        "--pattern",
        "1,3",
        "--window",
        "20us",
        "--accidentals",
        "--displacement",
        "30us",
    )
    (row,) = facts["coincidences"]
    displaced = [sum(near(3, 2 * t, 2 * 10**7, k * 3 * 10**7) for t in of(1)) for k in range(-5, 6) if k]
    assert row["count"] == sum(near(3, 2 * t, 2 * 10**7) for t in of(1))
    assert row["accidentals"] == pytest.approx(np.mean(displaced))
    assert row["subtracted"] == pytest.approx(row["count"] - np.mean(displaced))
    assert row["subtracted_error"] == pytest.approx((row["count"] + sum(displaced) / 100) ** 0.5)


def test_convert_writes_the_same_tags(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("tags.csv", "tags.npz", "copy", "tags.ptu"):
        assert call(["tags", "convert", str(folder), str(tmp_path / name)]) == ExitCode.DONE
        assert capsys.readouterr().out == f"{len(TAGS):,} tags written to {tmp_path / name}\n"
    with (tmp_path / "tags.csv").open() as file:
        assert [(int(r["time_ps"]), int(r["channel"])) for r in csv.DictReader(file)] == TAGS
    with np.load(tmp_path / "tags.npz") as arrays:
        assert list(zip(arrays["time_ps"].tolist(), arrays["channel"].tolist(), strict=True)) == TAGS
    copied = [
        t
        for b in SegmentFolder(tmp_path / "copy")
        for t in zip(b.times.tolist(), b.channels.tolist(), strict=True)
    ]
    assert copied == TAGS
    assert answer(capsys, "info", tmp_path / "tags.ptu")["tags"] == len(TAGS)


def test_convert_replaces_nothing_unasked(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.csv"
    out.write_text("dear to me")
    assert call(["tags", "convert", str(folder), str(out)]) == ExitCode.CONFIG
    assert capsys.readouterr().err == f"{out} is there already; --force replaces it\n"
    assert out.read_text() == "dear to me"
    assert call(["tags", "convert", str(folder), str(out), "--force"]) == ExitCode.DONE
    assert out.read_text().startswith("time_ps,channel\n")
    assert call(["tags", "convert", str(folder), str(folder), "--force"]) == ExitCode.CONFIG
    assert f"{folder} is the file to read" in capsys.readouterr().err


def test_ctrl_c_leaves_nothing_half_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: SegmentFolder) -> Iterator[TagBlock]:
        yield TagBlock(np.array([1]), np.array([1], np.uint8), 0, 10)
        raise KeyboardInterrupt

    monkeypatch.setattr(SegmentFolder, "__iter__", interrupted)
    before = set(tmp_path.iterdir())
    for arguments in (["convert", str(folder), str(tmp_path / "out.csv")], ["info", str(folder)]):
        assert call(["tags", *arguments]) == ExitCode.INTERRUPTED
        out, err = capsys.readouterr()
        assert (out, err.strip()) == ("", "interrupted")
    assert set(tmp_path.iterdir()) == before


def test_the_progress_bar_is_gone_before_the_last_word(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(blocks: Iterator[TagBlock], path: Path, name: str) -> int:
        assert next(blocks)
        assert next(blocks)
        raise KeyboardInterrupt

    monkeypatch.setattr(reading, "PATIENCE_S", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("timetags.files.export.export_tags", interrupted)
    assert call(["tags", "convert", str(folder), str(tmp_path / "out.csv")]) == ExitCode.INTERRUPTED
    before, last = capsys.readouterr().err.split("interrupted")
    assert "reading tags" in before
    assert last == "\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "{tmp}/none.ptu"], "{tmp}/none.ptu: no such file or folder"),
        (["info", "{tmp}/text"], "{tmp}/text: in none of the formats known here"),
        (["info", "{tags}", "--format", "pt"], "no format 'pt' of tag files; allowed: segments, ptu,"),
        (
            ["correlate", "{tags}", "1", "3", "--bin", "600"],
            "'--bin': 600 has no unit of time: write for example",
        ),
        (["correlate", "{tags}", "1", "3", "--bin", "0.5 ps"], "0.5 ps is not a whole number of picoseconds"),
        (["correlate", "{tags}", "1", "3", "--range", "5ns..4ns"], "5ns..4ns ends before it begins"),
        (["correlate", "{tags}", "1", "3", "--range", "1 ms"], "20,000,000 bins are too many"),
        (["correlate", "{tags}", "1", "300"], "'300' is not a channel: a number from 0 to 255"),
        (["correlate", "{tags}", "1", "3,3"], "3,3 names a channel twice"),
        (
            ["correlate", "{tags}", "1", "9"],
            "no tags of channel 9; channels with tags: 1, 2, 3, 4, 5, 6, 7, 8",
        ),
        (["correlate", "{tags}", "1", "3", "--delay", "3"], "write a channel and its time, for example"),
        (
            ["correlate", "{tags}", "1", "3", "--delay", "3=1ns", "--delay", "3=2ns"],
            "channel 3 is given twice",
        ),
        (
            ["coincide", "{tags}"],
            "what shall be counted?; choose one of --channels, --pattern, --party, --hub",
        ),
        (
            ["coincide", "{tags}", "--channels", "1,2", "--party", "3"],
            "--channels and --party exclude each other",
        ),
        (
            ["coincide", "{tags}", "--channels", "1,2"],
            "none is given for channel 2; for example --window 1ns",
        ),
        (["coincide", "{tags}", "--channels", "1", "--window", "1ns"], "no coincidence of 2 among so few"),
        (["coincide", "{tags}", "--party", "1,2", "--window", "1ns"], "a matrix has two parties at least"),
        (["coincide", "{tags}", "--pattern", "1,2", "--fold", "2"], "--fold goes with --channels"),
        (["coincide", "{tags}", "--hub", "5,6,7,8", "--window", "1ns"], "--bsm-window: the window between"),
        (
            ["coincide", "{tags}", "--hub", "5,6,7,8", "--bsm-window", "1ns", "--herald", "Psi"],
            "heralds are chosen from",
        ),
        (["convert", "{tags}", "{tmp}/out.xls"], "no format 'xls' to write tags in; allowed: csv,"),
    ],
)
def test_mistakes_are_told_with_what_would_be_right(
    arguments: list[str], message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").write_text(
        "Dear diary, today I bought a time tagger. It was not cheap at all, but ..."
    )
    filled = [argument.format(tmp=tmp_path, tags=folder) for argument in arguments]
    assert call(["tags", *filled]) == ExitCode.CONFIG
    out, err = capsys.readouterr()
    assert out == ""
    assert message.format(tmp=tmp_path, tags=folder) in err


def test_png_is_a_picture_and_needs_matplotlib_only_then(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    png = tmp_path / "peak.png"
    command = ["tags", "correlate", str(folder), "1", "3", "--png", str(png)]
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "matplotlib.figure", None)
        assert call(command) == ExitCode.CONFIG
        assert "pip install matplotlib" in capsys.readouterr().err
    pytest.importorskip("matplotlib")
    assert call(command) == ExitCode.DONE
    content = png.read_bytes()
    assert content.startswith(b"\x89PNG\r\n")
    assert int.from_bytes(content[16:20], "big") == 1200  # pixels wide: 8 inches of 150


def test_progress_shows_on_a_terminal_only(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PATIENCE_S", 0.0)
    call(["tags", "info", str(folder)])
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    call(["tags", "info", str(folder)])
    out, err = capsys.readouterr()
    assert "reading tags" in err
    assert "reading" not in out


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from bellbench.cli import call; call(['tags', 'coincide', '--help']); "
        "heavy = {'numba', 'numpy', 'scipy', 'pyarrow', 'matplotlib', 'rich'} & set(sys.modules); "
        "sys.exit(' '.join(heavy) or None)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--accidentals" in done.stdout


def test_columns_are_as_high_as_their_counts() -> None:
    lines = histogram(np.array([0, 8, 16, 4, 2, 16]), ("left", "middle", "right"), 80, height=2)
    assert lines == [
        "16 │  █  █",
        " 0 │ ██▄▂█",
        "   └──────",
        "    left right",
    ]


def test_bins_are_added_up_to_fit_and_a_high_floor_does_not_hide_the_rest() -> None:
    counts = np.full(1000, 100)
    counts[500:520] = 110
    lines = histogram(counts, ("a", "b", "c"), 60, height=10)
    assert max(map(len, lines)) <= 60
    *columns, _, _ = lines
    top = columns[0].split("│")[0].strip()
    assert top == "2,200"  # twenty bins in a column
    assert sum(line.count("█") == 1 for line in columns) >= 7


def test_nothing_counted_is_drawn_flat() -> None:
    *columns, _, _ = histogram(np.zeros(30, np.int64), ("a", "b", "c"), 60, height=3)
    assert [line.split("│")[1] for line in columns] == ["", "", ""]
