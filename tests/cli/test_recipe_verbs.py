"""``fada recipe …``."""

from __future__ import annotations

import json
from pathlib import Path

from fada.recipe import load_recipe, recipe_json_schema
from fada.recipe.shipped import shipped_recipes


def test_list_names_every_shipped_recipe(cli) -> None:
    out = cli("recipe", "list").out
    assert all(name in out for name in shipped_recipes())


def test_show_prints_a_recipe_that_loads(cli, tmp_path: Path) -> None:
    outcome = cli("recipe", "show", "tiny/demo", "seed=5")
    (tmp_path / "mine.yaml").write_text(outcome.out, encoding="utf-8")
    assert load_recipe(tmp_path / "mine.yaml") == load_recipe("tiny/demo", ["seed=5"])


def test_show_source_prints_the_file_with_its_comments(cli) -> None:
    assert cli("recipe", "show", "tiny/demo", "--source").out == shipped_recipes()["tiny/demo"].read_text("utf-8")


def test_show_source_refuses_overrides(cli) -> None:
    outcome = cli("recipe", "show", "tiny/demo", "seed=5", "--source")
    assert outcome.code == 2
    assert "leave out --source or the overrides" in outcome.err


def test_check_passes_good_recipes(cli) -> None:
    outcome = cli("recipe", "check", "tiny/demo", "sd15/fast")
    assert outcome.code == 0
    assert outcome.out.splitlines() == ["tiny/demo: good", "sd15/fast: good"]


def test_check_names_every_bad_recipe_and_exits_with_2(cli, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text("nam: x\n", encoding="utf-8")
    outcome = cli("recipe", "check", str(tmp_path / "one.yaml"), "tiny/demo", str(tmp_path / "two.yaml"))
    assert outcome.code == 2
    assert "one.yaml:1: nam: unknown key; did you mean 'name'?" in outcome.err
    assert "two.yaml:1: nam:" in outcome.err
    assert "tiny/demo: good" in outcome.out


def test_schema_is_json_schema(cli, tmp_path: Path) -> None:
    assert json.loads(cli("recipe", "schema").out) == recipe_json_schema()
    cli("recipe", "schema", "--out", str(tmp_path / "schema.json"))
    assert json.loads((tmp_path / "schema.json").read_text("utf-8")) == recipe_json_schema()
