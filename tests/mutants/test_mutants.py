"""The mutation run itself, on a tree of two lines."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
from mutant_lists import MutantFault, read_mutants

HERE = Path(__file__).parent
KILLED = {"name": "minus", "old": "a + b", "new": "a - b"}
ALIVE = {"name": "other-order", "old": "a + b", "new": "b + a"}


@pytest.fixture(scope="module")
def command() -> ModuleType:
    """The command line, as a module."""
    spec = importlib.util.spec_from_file_location("mutants_command", HERE / "__main__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A package of one function, its folder linked into it as fada's are, and a test."""
    root = tmp_path / "tree"
    (root / "sums").mkdir(parents=True)
    (root / "sums" / "__init__.py").touch()
    (root / "sums" / "add.py").write_text("def add(a, b):\n    return a + b\n")
    (root / "fada").mkdir()
    (root / "fada" / "__init__.py").touch()
    (root / "fada" / "sums").symlink_to("../sums")
    (root / "tests" / "mutants").mkdir(parents=True)
    (root / "tests" / "test_add.py").write_text(
        "from fada.sums.add import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n"
    )
    return root


def write_list(tree: Path, *mutants: dict) -> None:
    """The tree's one list of faults; JSON is YAML."""
    common = {"file": "sums/add.py", "tests": ["tests/test_add.py"], "why": "Sums are wrong."}
    (tree / "tests" / "mutants" / "sums.yaml").write_text(json.dumps([{**common, **each} for each in mutants]))


def test_a_mutant_that_a_test_sees_is_killed_by_it_and_the_tree_stays_as_it_was(
    command: ModuleType, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    before = {path: path.read_bytes() for path in tree.rglob("*.py")}
    write_list(tree, KILLED, {**ALIVE, "survives": "sums do not know an order"})
    page = tmp_path / "page.md"
    assert command.main(["--jobs", "2", "--out", str(tmp_path / "out"), "--page", str(page)], tree) == 0
    assert {path: path.read_bytes() for path in tree.rglob("*.py")} == before
    text = page.read_text()
    assert "## sums\n\n| mutant | file | result | why it matters |\n| --- | --- | --- | --- |\n| minus |" in text
    assert "| minus | sums/add.py | killed by test_add.py::test_add | Sums are wrong. |" in text
    assert "| other-order | sums/add.py | **survived** |" in text
    assert "of 1 that must be killed, 1 are (100.0%); 1 are accepted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("mutants", "said"),
    [
        ([KILLED, ALIVE], "less than 95% killed; alive: other-order"),
        ([{**KILLED, "survives": "nobody adds"}], "minus: said to survive, but killed by tests/test_add.py::test_add"),
        ([{**KILLED, "new": "a +"}], "minus: cannot be run, so it proves nothing"),
    ],
)
def test_a_run_that_is_not_good_enough_says_why_and_exits_with_one(
    command: ModuleType, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture, mutants: list[dict], said: str
) -> None:
    write_list(tree, *mutants)
    assert command.main(["--jobs", "1", "--out", str(tmp_path / "out")], tree) == 1
    assert said in capsys.readouterr().err


def test_a_mutant_that_never_ends_is_killed_by_the_time_limit(tree: Path, tmp_path: Path) -> None:
    from mutant_trials import Tree

    write_list(tree, {**KILLED, "old": "    return a + b", "new": "    while True:\n        pass"})
    (mutant,) = read_mutants(tree / "tests" / "mutants", tree)
    copy = Tree(tree, tmp_path / "copy")
    outcome = copy.try_mutant(mutant, limit=2.5)
    copy.close()
    assert (outcome.result, outcome.by) == ("killed", "time limit")


def test_tests_that_fail_without_a_mutant_are_an_error(
    command: ModuleType, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_list(tree, KILLED)
    (tree / "tests" / "test_add.py").write_text("def test_add():\n    assert False\n")
    assert command.main(["--out", str(tmp_path / "out")], tree) == 1
    assert "tests/test_add.py: must pass without mutants, but tests/test_add.py::test_add" in capsys.readouterr().err


def test_a_package_that_is_imported_from_elsewhere_is_an_error(tree: Path, tmp_path: Path) -> None:
    from mutant_trials import Tree, TreeFault

    (tree / "fada").rename(tree / "other")
    with pytest.raises(TreeFault, match=r"must be imported from the copy .*, got .*fada/__init__.py"):
        Tree(tree, tmp_path / "copy")


@pytest.mark.parametrize("tests", ["tests/test_add.py", "tests"])
def test_results_are_kept_until_the_file_or_its_tests_change(
    command: ModuleType, tree: Path, tmp_path: Path, tests: str
) -> None:
    write_list(tree, {**KILLED, "tests": [tests]})
    out = ["--jobs", "1", "--out", str(tmp_path / "out")]
    kept = tmp_path / "out" / "results.json"
    assert command.main(out, tree) == 0
    changed = json.loads(kept.read_text())
    changed["minus"]["outcome"]["by"] = "an earlier run"
    kept.write_text(json.dumps(changed))
    assert command.main(out, tree) == 0
    assert json.loads(kept.read_text())["minus"]["outcome"]["by"] == "an earlier run"
    (tree / "tests" / "test_add.py").write_text((tree / "tests" / "test_add.py").read_text() + "\n")
    assert command.main(out, tree) == 0
    assert json.loads(kept.read_text())["minus"]["outcome"]["by"] == "tests/test_add.py::test_add"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"old": "a * b"}, r"sums.yaml: minus: old must occur once in sums/add.py, occurs 0 times: 'a \* b'"),
        ({"old": "a"}, r"minus: old must occur once in sums/add.py, occurs 3 times"),
        ({"old": "a + b", "new": "a + b"}, "old must be some text, and new another"),
        ({"file": "../outside.py"}, r"no file ../outside.py in the tree"),
        ({"tests": ["tests/test_gone.py::test_it"]}, "no such tests: tests/test_gone.py::test_it"),
        ({"tests": []}, "tests must be a list of paths or node ids, got \\[\\]"),
        ({"name": "Minus"}, "entry 1: name must be small letters and digits with hyphens between, got 'Minus'"),
        ({"new": 1}, "all but tests must be texts"),
        ({"survives": ""}, "why and survives must say something"),
        ({"reason": "none"}, "must have name, file, old, new, tests, why and may have survives"),
    ],
)
def test_an_entry_that_does_not_fit_is_named(tree: Path, change: dict, said: str) -> None:
    write_list(tree, {**KILLED, **change})
    with pytest.raises(MutantFault, match=said):
        read_mutants(tree / "tests" / "mutants", tree)


def test_two_mutants_of_one_name_are_an_error(tree: Path) -> None:
    write_list(tree, KILLED, KILLED)
    with pytest.raises(MutantFault, match="minus: another mutant has this name"):
        read_mutants(tree / "tests" / "mutants", tree)


@pytest.mark.parametrize(
    ("text", "said"), [("name: minus", "must be a list of mutants, got dict"), ("[", "is no YAML")]
)
def test_a_list_that_is_none_is_an_error(tree: Path, text: str, said: str) -> None:
    (tree / "tests" / "mutants" / "sums.yaml").write_text(text)
    with pytest.raises(MutantFault, match=f"sums.yaml: {said}"):
        read_mutants(tree / "tests" / "mutants", tree)


def test_unknown_names_are_said_with_the_known_ones(
    command: ModuleType, tree: Path, capsys: pytest.CaptureFixture
) -> None:
    write_list(tree, KILLED)
    assert command.main(["--only", "plus"], tree) == 1
    assert "no mutant named plus; there are minus" in capsys.readouterr().err
    assert command.main(["--area", "products"], tree) == 1
    assert "no area named products; there are sums" in capsys.readouterr().err


def test_the_lists_fit_the_tree_as_it_is(project_root: Path) -> None:
    assert read_mutants(HERE, project_root)
