"""The benchmark of instruments measures what its names say. How fast, no test asks."""

import pytest

from benchmarks import instruments


def test_many_of_each_are_as_many_of_all_models() -> None:
    testbed = instruments.many_of_each(100)
    models = [entry["model"] for entry in testbed["instruments"].values()]
    assert len(models) == 100
    assert models.count("thorlabs_pm100d") > 1
    assert testbed["simulation"]["faults"] == {instruments.SILENT: {"silent": True}}


def test_a_few_are_opened_and_polled_though_one_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    few = ("srs_dg645", "thorlabs_pm100d", "toptica_dlcpro")
    monkeypatch.setattr(instruments, "SILENT", "thorlabs_pm100d_0")
    whole = instruments.many_of_each(40)
    names = [f"{model}_0" for model in few]
    monkeypatch.setattr(
        instruments,
        "many_of_each",
        lambda _: whole | {"instruments": {name: whole["instruments"][name] for name in names}}
        | {"simulation": {"faults": {instruments.SILENT: {"silent": True}}}},
    )  # fmt: skip
    opened, trips, stall = instruments.figures(polled_s=1.0, instruments=3)
    assert [f.name for f in (opened, trips, stall)] == [
        "instruments.open_s",
        "instruments.round_trips_per_s",
        "instruments.longest_stall_ms",
    ]
    assert opened.text.startswith("the longest of 2 opened at once")
    assert 0 < trips.value <= 22  # 10 Hz each, for a second with both its ends
    assert " 0 errors" in trips.text
    assert stall.value > 0
