"""What figures are called and in which order they stand, and the table of results at the end of a run."""

import io

import pytest
from rich.console import Console

from bellbench.display import results_table
from bellbench.figures import label_of, place_of


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("chsh_s", ("CHSH S", "")),
        ("fidelity_psi_minus", ("fidelity, Ψ⁻", "")),
        ("fidelity_by_car", ("fidelity, by CAR", "")),
        ("measure_chsh.pair_rate_hz", ("measure_chsh: pair rate, raw", "1/s")),
        ("settings.ZZ.correlation", ("settings.ZZ: correlation", "")),
        ("dip_width_ps", ("dip width", "ps")),
        ("pair_rate_hz_least", ("pair rate, raw, least of all pairs", "1/s")),
    ],
)
def test_what_a_figure_is_called(name: str, called: tuple[str, str]) -> None:
    assert label_of(name) == called


def test_well_known_figures_come_first_and_those_of_labelled_steps_after_them() -> None:
    names = ["measure_chsh.pair_rate_hz", "odd_figure", "chsh_s", "visibility_zz"]
    assert sorted(names, key=place_of) == [
        "visibility_zz", "chsh_s", "odd_figure", "measure_chsh.pair_rate_hz",
    ]  # fmt: skip


def test_the_table_is_whole_on_a_terminal_of_eighty_columns() -> None:
    source = "a long story of where that figure was published, " * 3 + "with an [S] in it"
    results = {
        "complete": True,
        "chsh_s": {"value": 2.7707, "error": 0.0281},
        "measure_visibility.pair_rate_hz": {"value": 2562.5, "error": 35.8},
        "published": {"chsh_s": {"value": 2.74, "source": source}},
    }
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(results_table(results))
    lines = console.export_text().splitlines()
    [s] = [line for line in lines if "CHSH S" in line]
    assert [cell.strip() for cell in s.split("│")[1:4]] == ["CHSH S", "2.771 ± 0.028", "2.74 [1]"]
    assert any("measure_visibility: pair rate, raw" in line for line in lines)
    assert source in " ".join(" ".join(lines).split())
    assert len(lines) < 12
