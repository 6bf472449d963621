"""`include:`: parts that files share, merged by one rule, each value still where it is written."""

from pathlib import Path

import pytest

from experiments.config.include import MAX_DEPTH, read_whole
from experiments.config.problems import ConfigError

Files = dict[str, str]


def write(folder: Path, files: Files) -> Path:
    """Write the files; the first is the one to read."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder / next(iter(files))


def problems_of(folder: Path, files: Files) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_whole(write(folder, files))
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def test_mappings_are_merged_at_every_depth_and_the_last_who_speaks_wins(tmp_path: Path) -> None:
    document = read_whole(
        write(
            tmp_path,
            {
                "top.yaml": "include: [one.yaml, two.yaml]\na: {own: 1}\nplan: [c]\n",
                "one.yaml": "a: {own: 2, one: 2, both: 2, deep: {x: 2, y: 2}}\nplan: [a, b, c]\n",
                "two.yaml": "a: {own: 3, both: 3, deep: {y: 3}}\nb: 3\n",
            },
        )
    )
    assert document.problems == ()
    assert document.data == {
        "a": {"own": 1, "one": 2, "both": 3, "deep": {"x": 2, "y": 3}},
        "b": 3,
        "plan": ["c"],
    }


def test_each_value_and_each_problem_keeps_its_file(tmp_path: Path) -> None:
    document = read_whole(
        write(
            tmp_path,
            {
                "top.yaml": "include: [parts/one.yaml]\na:\n  x: 1\n  z: !odd 1\n",
                "parts/one.yaml": "a: {x: 5,\n    y: 2, y: 3}\nplan: [a, b]\n",
            },
        )
    )
    top, one = str(tmp_path / "top.yaml"), str(tmp_path / "parts/one.yaml")
    assert document.values[("a", "x")] == (top, 3, 6)
    assert document.values[("a", "y")] == (one, 2, 8)
    assert document.values[("plan", 1)] == (one, 3, 11)
    assert {(p.file, p.line) for p in document.problems} == {(top, 4), (one, 2)}
    assert list(document.sources) == [top, one]


def test_a_list_that_is_replaced_leaves_no_places_behind(tmp_path: Path) -> None:
    document = read_whole(
        write(tmp_path, {"top.yaml": "include: [one.yaml]\na: [7]\n", "one.yaml": "a: [{b: 1}, 2, 3]\n"})
    )
    assert document.data == {"a": [7]}
    assert [path for path in document.values if path[:1] == ("a",)] == [("a",), ("a", 0)]


def test_parts_include_parts_relative_to_themselves(tmp_path: Path) -> None:
    files = {
        "lab/top.yaml": "include: [../shared/one.yaml]\n",
        "shared/one.yaml": "include: [deeper/two.yaml]\na: 1\n",
        "shared/deeper/two.yaml": "include: [../three.yaml]\nb: 2\n",
        "shared/three.yaml": "c: 3\n",
    }
    assert read_whole(write(tmp_path, files)).data == {"a": 1, "b": 2, "c": 3}


def test_one_part_may_be_included_from_two_sides(tmp_path: Path) -> None:
    files = {
        "top.yaml": "include: [left.yaml, right.yaml]\n",
        "left.yaml": "include: [base.yaml]\na: left\n",
        "right.yaml": "include: [base.yaml]\nb: right\n",
        "base.yaml": "a: base\nb: base\nc: base\n",
    }
    # The base comes again with the right side, which is the later one.
    assert read_whole(write(tmp_path, files)).data == {"a": "base", "b": "right", "c": "base"}


@pytest.mark.parametrize(
    ("files", "place", "problem"),
    [
        ({"a.yaml": "x: 1\ninclude: [a.yaml]\n"}, "a.yaml:2:11", "a circle: a.yaml includes a.yaml"),
        (
            {"a.yaml": "include: [b.yaml]", "b.yaml": "include: [c.yaml]", "c.yaml": "include: [./b.yaml]"},
            "c.yaml:1:11",
            "a circle: b.yaml includes c.yaml includes b.yaml",
        ),
        (
            {"a.yaml": "include: [none.yaml]"},
            "a.yaml:1:11",
            "none.yaml:1:1: cannot be read: No such file or directory",
        ),
        (
            {"a.yaml": "include: ['https://x.org/a.yaml']"},
            "a.yaml:1:11",
            "'https://x.org/a.yaml' is no file to include; allowed: a path relative to this file",
        ),
        (
            {"a.yaml": "include: [/etc/passwd]"},
            "a.yaml:1:11",
            "'/etc/passwd' is no file to include; allowed: a path relative to this file",
        ),
    ],
)
def test_what_cannot_be_included_is_said_at_its_place(
    tmp_path: Path, files: Files, place: str, problem: str
) -> None:
    assert problems_of(tmp_path, files) == [f"{place}: include[0]: {problem}"]


def test_a_word_is_no_list_of_files(tmp_path: Path) -> None:
    assert problems_of(tmp_path, {"a.yaml": "include: b.yaml"}) == [
        "a.yaml:1:10: include: 'b.yaml' is not a list; write include: [FILE, FILE], relative to this file"
    ]


def test_a_part_that_is_no_yaml_says_where(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, {"a.yaml": "include: [b.yaml]\n", "b.yaml": "x: [1\n"})
    assert problem.startswith("b.yaml:2:1: not YAML: ")


def test_depth_and_number_are_limited(tmp_path: Path) -> None:
    chain = {f"f{k}.yaml": f"include: [f{k + 1}.yaml]\n" for k in range(MAX_DEPTH + 2)}
    (problem,) = problems_of(tmp_path, chain)
    assert problem.endswith(f"files that include each other more than {MAX_DEPTH} deep")
    # Seven below one another, each twice in the one above, would be 127 files.
    bush = {f"g{k}.yaml": f"include: [g{k + 1}.yaml, g{k + 1}.yaml]\n" for k in range(6)} | {
        "g6.yaml": "x: 1\n"
    }
    assert all("more than 64 files" in problem for problem in problems_of(tmp_path, bush))


def test_a_null_character_in_a_name_is_a_problem(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, {"a.yaml": 'include: ["b\\0.yaml"]\n'})
    assert problem.startswith("a.yaml:1:11: include[0]: ")
