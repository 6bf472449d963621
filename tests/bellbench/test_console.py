"""What commands print: somebody's own words, as they are."""

import pytest
from rich.table import Table

from bellbench.console import console
from bellbench.run_page import comparison_page
from experiments.archive.compare import SettingDifference


@pytest.mark.parametrize("words", ["Bell [/run 3]", "[red]alarm"])
def test_brackets_in_tables_are_brackets(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("name", title=words)
    table.add_row(words)
    console().print(table)
    changed = [SettingDifference("title", words, None)]
    console(highlight=False).print(comparison_page("one", "other", [], changed))
    console().print(words)
    assert capsys.readouterr().out.count(words) == 4
