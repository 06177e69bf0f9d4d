"""Texts from outside: JSON and YAML that are bounded, Markdown in which nothing is obeyed."""

import json
import os
from pathlib import Path

import pytest

from fada.files.markdown import code_block, markdown_cell, markdown_text
from fada.files.plain_yaml import YAMLFault, parse_yaml
from fada.files.strict_json import DEEPEST, JSONFault, parse_json, read_json, read_table


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, True, "ä"]}, [], 3, "x", {"b": {"c": {}}}])
def test_ordinary_json_is_read(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[" * 100_000, f"nested more than {DEEPEST} deep"),
        (b"[" * 40 + b"]" * 40, f"nested more than {DEEPEST} deep"),
        (b'{"a": 1, "b": {"a": 1, "a": 2}}', "has the key 'a' twice"),
        (b'{"a": NaN}', "holds NaN"),
        (b"[1, -Infinity]", "holds -Infinity"),
        (b"1e999", "holds 1e999"),
        (b'["\\ud800"]', "half a surrogate pair"),
        (b"\xff", "is not UTF-8"),
        (b"{", "is no JSON"),
        (b"9" * 5000, "is no JSON"),
        (b" " * 101, "has 101 bytes, at most 100"),
    ],
)
def test_other_json_is_refused_and_says_why(data: bytes, said: str) -> None:
    with pytest.raises(JSONFault, match=said):
        parse_json(data, 100 if b" " * 50 in data else 10**6)


def test_a_file_of_json_is_an_ordinary_file_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    assert read_json(tmp_path / "a.json") == []
    with pytest.raises(JSONFault, match=r"a.json: holds a list, a table of settings is wanted"):
        read_table(tmp_path / "a.json")
    (tmp_path / "link.json").symlink_to("a.json")
    with pytest.raises(JSONFault, match=r"link.json: is a link"):
        read_json(tmp_path / "link.json")
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(JSONFault, match=r"pipe.json: is no ordinary file"):
        read_json(tmp_path / "pipe.json")
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [1]\nb: *a", r"has aliases \(\*name\)"),
        ("a: " + "[" * 5000, "is no YAML"),
        ("a: [", "is no YAML"),
        ("!!python/object/apply:os.system [ls]", "is no YAML"),
        ("a: " + "x" * 2**20, "letters, at most"),
    ],
)
def test_yaml_from_outside_is_plain(text: str, said: str) -> None:
    assert parse_yaml("a: {b: [1, x]}") == {"a": {"b": [1, "x"]}}
    with pytest.raises(YAMLFault, match=said):
        parse_yaml(text)


def test_nothing_in_a_text_is_obeyed_by_markdown() -> None:
    assert markdown_text("a\n# b `c` <img> | [d](e)") == "a # b \\`c\\` \\<img\\> \\| \\[d\\](e)"
    assert markdown_text("v1-5_x.safetensors") == "v1-5_x.safetensors"
    assert markdown_cell("p < 0.01 [0.1, 0.2]") == "p < 0.01 [0.1, 0.2]"
    assert markdown_cell("a|b\r\n<script>`x`[y](z)\\|") == "a\\|b \\<script>\\`x\\`[y\\](z)\\\\\\|"


def test_a_block_of_code_is_ended_by_no_line_of_it() -> None:
    assert code_block("a") == "```\na\n```"
    assert code_block("```\nb\n`````", "yaml") == "``````yaml\n```\nb\n`````\n``````"
