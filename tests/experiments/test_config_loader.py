"""The YAML loader: what scalars mean, where things stand, and that nothing but ConfigError comes out."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from experiments.config.loader import Document, parse_document, read_document
from experiments.config.problems import ConfigError


def problems_of(text: str) -> list[str]:
    """Every problem with a text, whether it ends the reading or is collected."""
    try:
        return [str(problem) for problem in parse_document(text, "f.yaml").problems]
    except ConfigError as error:
        return [str(problem) for problem in error.problems]


# YAML 1.2.2, section 10.3.2, and its example 10.9.
@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("1e-9", 1e-9),
        ("1.0e9", 1.0e9),
        ("1E6", 1e6),
        ("-2E+05", -2e5),
        ("0.", 0.0),
        (".5", 0.5),
        ("+12.3", 12.3),
        ("12e03", 12000.0),
        ("-.INF", float("-inf")),
        ("010", 10),
        ("0o7", 7),
        ("0x3A", 58),
        ("-19", -19),
        ("+7", 7),
        ("true", True),
        ("False", False),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("no", "no"),
        ("12:30", "12:30"),
        ("12:30:00", "12:30:00"),
        ("1_000", "1_000"),
        ("2026-11-22", "2026-11-22"),
        ("=", "="),
        ("0b1", "0b1"),
        ("600 ps", "600 ps"),
        ("1e", "1e"),
        ("~", None),
        ("null", None),
        ("", None),
        ("'1e-9'", "1e-9"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("!!float 5", 5.0),
        ("<<", "<<"),
    ],
)
def test_scalars_follow_yaml_1_2(scalar: str, value: object) -> None:
    found = parse_document(f"key: {scalar}\n", "f.yaml")
    assert found.problems == ()
    assert found.data["key"] == value
    assert type(found.data["key"]) is type(value)


def test_not_a_number_is_read_as_such() -> None:
    value = parse_document("key: .nan", "f.yaml").data["key"]
    assert value != value


def test_places_of_values_and_keys_count_from_one_and_in_letters() -> None:
    document = parse_document("a:\n  bé: [x, {c: 1}]\n", "f.yaml")
    assert document.keys[("a", "bé")] == ("f.yaml", 2, 3)
    assert document.values[("a", "bé")] == ("f.yaml", 2, 7)
    assert document.values[("a", "bé", 0)] == ("f.yaml", 2, 8)
    assert document.keys[("a", "bé", 1, "c")] == ("f.yaml", 2, 12)
    assert document.values[("a", "bé", 1, "c")] == ("f.yaml", 2, 15)


def test_an_alias_keeps_the_place_where_its_value_is_written() -> None:
    document = parse_document("a: &x {n: 1}\nb: *x\n", "f.yaml")
    assert document.data == {"a": {"n": 1}, "b": {"n": 1}}
    assert document.keys[("b",)] == ("f.yaml", 2, 1)
    assert document.values[("b", "n")] == ("f.yaml", 1, 11)


def test_merge_keys_give_way_to_own_keys_and_the_first_merged_wins() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {x: 2, z: 2}\nc:\n  <<: [*a, *b]\n  y: 3\nd: {y: 4, <<: *a}\n"
    document = parse_document(text, "f.yaml")
    assert document.problems == ()
    assert document.data["c"] == {"y": 3, "x": 1, "z": 2}
    assert document.data["d"] == {"y": 4, "x": 1}
    assert document.values[("c", "z")] == ("f.yaml", 2, 17)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: a: key 'a' is repeated; it stands in line 1 already"),
        ("a:\n  b: {c: 1, c: 2}\n", "f.yaml:2:13: a.b.c: key 'c' is repeated; it stands in line 2 already"),
        ("1.5: x\n", "f.yaml:1:1: key 1.5; a key must be a word"),
        ("a:\n  01: x\n", "f.yaml:2:3: a: key 01; a key must be a word"),
        ("1: x\n'1': y\n", "f.yaml:2:1: 1: key '1' is repeated; it stands in line 1 already"),
        ("a:\n  true: x\n", "f.yaml:2:3: a: key true; a key must be a word"),
        ("? [a]\n: x\n", "f.yaml:1:3: key a list or mapping; a key must be a word"),
        (
            "a: !!python/object:os.system x\n",
            "f.yaml:1:4: a: unknown tag '!!python/object:os.system'; write the plain value without a tag",
        ),
        ("a: !here {b: 1}\n", "f.yaml:1:4: a: unknown tag '!here'; write the plain value without a tag"),
        ("a: !here [b]\n", "f.yaml:1:4: a: unknown tag '!here'; write the plain value without a tag"),
        ("a: !!int many\n", "f.yaml:1:4: a: 'many' is no int, which its tag says it is"),
        ("a: &x [*x]\n", "f.yaml:1:4: a[0]: an alias that contains itself"),
        ("a: &x\n  <<: *x\n", "f.yaml:1:4: a: an alias that contains itself"),
        ("a:\n  <<: 5\n", "f.yaml:2:7: a: '<<' merges a mapping or a list of mappings, this is neither"),
        ("a: 9223372036854775808\n", "f.yaml:1:4: a: a number of 19 digits; integers go to 2^63"),
        ("a:\n\t- b\n", "f.yaml:2:1: not YAML: a tab; indent with spaces"),
        ("a: b: c\n", "f.yaml:1:5: not YAML: mapping values are not allowed in this context"),
        ("a: *nowhere\n", "f.yaml:1:4: not YAML: found undefined alias"),
        (
            "a: 1\n---\nb: 2\n",
            "f.yaml:2:1: not YAML: expected a single document in the stream, but found another document",
        ),
        ("é: \x07\n", "f.yaml:1:4: not YAML: control characters are not allowed"),
        ("a: b\nc: \ud800\n", "f.yaml:2:4: not text: half of a surrogate pair"),
        (
            "",
            "f.yaml:1:1: the file is empty; allowed: a mapping that begins with experiment: or testbed:",
        ),
        (
            "# only a comment\n",
            "f.yaml:1:1: the file is empty; allowed: a mapping that begins with experiment: or testbed:",
        ),
        ("\n- a\n- b\n", "f.yaml:2:1: the top of the file is not a mapping of keys to values"),
        ("just words\n", "f.yaml:1:1: the top of the file is not a mapping of keys to values"),
    ],
)
def test_bad_text_is_reported_at_its_place(text: str, message: str) -> None:
    assert problems_of(text) == [message]


def test_an_invalid_escape_is_a_syntax_error() -> None:
    [message] = problems_of('a: "\\ud800"\n')
    assert message.startswith("f.yaml:1:7: not YAML: while parsing a quoted scalar, found invalid Unicode")


def test_two_repeated_keys_are_reported_together() -> None:
    assert len(problems_of("a: 1\na: 2\nb: 1\nb: 2\n")) == 2


def test_an_alias_bomb_ends_early() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]  # 10^12 values
    [message] = problems_of("\n".join(lines))
    assert message.endswith("more than 100000 values once aliases are followed")


def test_a_merge_bomb_ends_early() -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)]
    [message] = problems_of("\n".join(lines))
    assert message.endswith("more than 100000 values once aliases are followed")


@pytest.mark.parametrize("text", ["a: " + "[" * 5000, "a:\n" + "- " * 5000, "a: " + "{b: " * 5000])
def test_endless_nesting_is_a_problem_not_a_crash(text: str) -> None:
    assert len(problems_of(text)) == 1


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("a: 1\nb: é\n".encode("latin-1"))
    for path, expected in (
        (tmp_path / "none.yaml", f"{tmp_path}/none.yaml:1:1: cannot be read: No such file or directory"),
        (tmp_path, f"{tmp_path}:1:1: cannot be read: Is a directory"),
        (latin, f"{latin}:2:4: not text in UTF-8; save the file as UTF-8"),
        (Path("a\0b"), "a\0b:1:1: cannot be read: embedded null byte"),
    ):
        with pytest.raises(ConfigError) as caught:
            read_document(path)
        assert str(caught.value) == expected


def plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str and plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(plain, value))
    return value is None or type(value) in (str, int, float, bool)


YAML_LIKE = st.text(alphabet=st.sampled_from("ab1 \n\t:-?,[]{}&*!|>'\"%@`#<~.0xé\ud800\0"), max_size=60)


@given(st.one_of(st.text(), YAML_LIKE))
@example("a: !!python/object:x {}")
@example("\ud800")
@example("<<: *a")
def test_any_text_gives_plain_data_or_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        document = parse_document(text, "f.yaml")
        assert isinstance(document, Document)
        assert plain(document.data)


@given(st.binary())
def test_any_bytes_give_plain_data_or_config_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    with contextlib.suppress(ConfigError):
        assert plain(read_document(path).data)
