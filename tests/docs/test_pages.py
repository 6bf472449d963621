"""What is read from a page: its files, its commands, and mistakes in either."""

import pytest

from tests.docs.pages import Command, Page

TEXT = """
# A page

```python
# file: a/b.py
x = 1
```

```console
$ first --option
$ second
one ...
three
```

```text
for the eye
```
"""


def test_files_and_commands_are_read_in_order() -> None:
    page = Page.parse(TEXT)
    assert page.files == {"a/b.py": "# file: a/b.py\nx = 1\n"}
    assert page.commands == (Command("first --option", ""), Command("second", "one ...\nthree\n"))


@pytest.mark.parametrize(
    ("output", "agrees"),
    [
        ("one two\nthree\n", True),
        ("one two\nand a half  \nthree\n\n", True),
        ("one two\nfour\n", False),
        ("one two\nthree\nfour\n", False),
        ("nothing\none two\nthree\n", False),
    ],
)
def test_dots_stand_for_any_text_and_nothing_else_does(output: str, agrees: bool) -> None:
    assert Command("second", "one ...\nthree\n").agrees(output) is agrees


def test_a_block_that_says_not_where_it_belongs_is_reported() -> None:
    with pytest.raises(ValueError, match="neither a file nor a command: 'x = 1'"):
        Page.parse(TEXT.replace("# file: a/b.py\n", ""))
    with pytest.raises(ValueError, match=r"shows a/b\.py twice"):
        Page.parse(TEXT + TEXT)
