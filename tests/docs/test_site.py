"""The site's pages: all there, all named, every link to a page, and what is made says what the code does.

What makes HTML of them checks links and anchors again (`make docs`).
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from fada.family import families
from fada.recipe import recipe_json_schema
from fada.recipe.shipped import shipped_recipes

_LINK = re.compile(r"\]\(([^)\s#:]+)(?:#[^)]*)?\)")
_FENCED = re.compile(r"^( *)```.*?^\1``` *$", re.MULTILINE | re.DOTALL)


class _Settings(yaml.SafeLoader):
    """Reads the settings of the site: slugs are named by a tag of Python's."""


_Settings.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: suffix)


@pytest.fixture
def site(assemble: ModuleType, project_root: Path, tmp_path: Path) -> Path:
    assemble.assemble(project_root, tmp_path / "docs")
    return tmp_path


def pages(site: Path) -> set[str]:
    return {path.relative_to(site / "docs").as_posix() for path in (site / "docs").rglob("*.md")}


def named(entries: list) -> list[str]:
    """Pages that the navigation names, in its order."""
    found = []
    for entry in entries:
        inner = next(iter(entry.values())) if isinstance(entry, dict) else entry
        found += named(inner) if isinstance(inner, list) else [inner]
    return found


def test_the_navigation_names_every_page_once(site: Path) -> None:
    settings = yaml.load((site / "mkdocs.yml").read_text(encoding="utf-8"), _Settings)
    found = named(settings["nav"])
    assert sorted(found) == sorted(pages(site))
    assert settings["strict"] is True


def test_links_of_pages_lead_to_files_of_the_site(site: Path) -> None:
    dead = []
    for page in pages(site):
        text = _FENCED.sub("", (site / "docs" / page).read_text(encoding="utf-8"))
        for target in _LINK.findall(text):
            if not (site / "docs" / posixpath.dirname(page) / target).is_file():
                dead.append(f"{page}: {target}")
    assert dead == []


def test_nothing_that_is_made_is_left_to_make(site: Path) -> None:
    assert [page for page in pages(site) if "<!-- made:" in (site / "docs" / page).read_text(encoding="utf-8")] == []


@pytest.mark.parametrize(
    ("link", "page"),
    [
        ("[a](../../recipes/tiny/demo.yaml)", "[a](../reference/recipes/tiny.md#tiny-demo)"),
        ("[a](../../recipes/hallo)", "[a](../reference/recipes/hallo.md)"),
        ("[a](../../SECURITY.md#load)", "[a](../project/security.md#load)"),
        ("[a](../../examples/image_model.py)", "[a](../examples/image_model.md)"),
        (
            "[a](../../eval/speed/public_way.py)",
            "[a](../reference/api/fada.eval.speed.md#fada.eval.speed.public_way)",
        ),
        ("[a](speed.md#x)", "[a](speed.md#x)"),
        ("[a](https://example.org/x.py) [b](#c)", "[a](https://example.org/x.py) [b](#c)"),
        ("```\n[a](../../Makefile)\n```", "```\n[a](../../Makefile)\n```"),
    ],
)
def test_a_link_of_the_repository_becomes_one_of_the_site(assemble: ModuleType, link: str, page: str) -> None:
    assert assemble.on_site(link, "docs/guides/filter.md", "guides/filter.md") == page


def test_a_link_to_what_is_no_page_is_refused_by_name(assemble: ModuleType) -> None:
    with pytest.raises(assemble.NoPage, match=r"SECURITY\.md: links to Makefile, which is no page of the site; name"):
        assemble.on_site("[a](Makefile)", "SECURITY.md", "project/security.md")


def test_every_field_of_a_recipe_has_its_row(site: Path) -> None:
    text = (site / "docs" / "reference" / "recipe.md").read_text(encoding="utf-8")
    schema = recipe_json_schema()
    sections = {name: part for name, part in schema["$defs"].items() if part.get("properties")} | {"recipe": schema}
    for name, part in sections.items():
        section = re.search(rf"^## .*\{{#{name.lower()}\}}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        assert section is not None, name
        assert re.findall(r"^\| `(\w+)` \|", section[1], re.MULTILINE) == list(part["properties"])
    assert "| `steps` | whole number ≥ 1 ≤ 1 000 | `8` | Steps per window. |" in text
    assert "| `kind` | `ddim`, `dpmpp_2m`, `dpmpp_2m_log_snr` | `ddim` | DDIM, or second-order" in text
    assert "| `output` | path | **needed** | The run's folder" in text
    assert "## `distill.phases[].solver` {#solver}" in text
    assert "## `teacher.network`, v express {#network_v_express}" in text


def test_a_field_that_leads_to_a_section_says_what_it_is_for(site: Path) -> None:
    text = (site / "docs" / "reference" / "recipe.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| .* \|  ?\|$", text, re.MULTILINE) == ["| key | value | default | |"] * text.count("\n## ")


def test_every_shipped_recipe_stands_in_a_page_as_it_is(site: Path) -> None:
    folder = site / "docs" / "reference" / "recipes"
    text = "".join(page.read_text(encoding="utf-8") for page in folder.iterdir())
    for name, path in shipped_recipes().items():
        assert f"## {name} {{#{name.replace('/', '-')}}}" in text
        assert path.read_text(encoding="utf-8") in text


def test_every_verb_has_its_section_with_options_and_examples(site: Path) -> None:
    from fada.cli.app import app
    from tests.cli.test_app import verbs

    text = (site / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    found = re.findall(r"^## (.*?) \{", text, re.MULTILINE)
    assert sorted(found) == sorted(" ".join(("fada", *verb)) for verb in verbs(app))
    assert "```sh\nfada demo\nfada demo --from-scratch\n" in text
    assert re.search(r"^\| `--dry-run` \| Check everything, print size", text, re.MULTILINE)
    assert re.search(r"^\| `RECIPE.*` \| A YAML file, or the name of a shipped recipe", text, re.MULTILINE)


@pytest.mark.parametrize("name", families())
def test_every_family_has_a_page_with_what_the_code_knows_of_it(site: Path, name: str) -> None:
    family = families()[name]
    text = (site / "docs" / "families" / f"{name.replace('_', '-')}.md").read_text(encoding="utf-8")
    assert f"| in recipes | `teacher.kind: {name}` |" in text
    assert f"| branches of guidance | {' → '.join(f'`{branch}`' for branch in family.guidance.branches)} |" in text


def test_the_facts_of_a_family_are_those_that_it_is_known_for(assemble: ModuleType) -> None:
    text = assemble.family_facts.table("float")
    assert "| scales where nobody says | audio 2, emotion 1 |" in text
    assert "| evaluations of the teacher | 9 steps × 3 branches = 27 a chunk, where all scales differ |" in text
    assert "| clips must have, beside sound | emotion |" in text


def test_every_module_has_its_place_but_those_of_the_command_line(
    site: Path, assemble: ModuleType, project_root: Path
) -> None:
    shown = set()
    for page in (site / "docs" / "reference" / "api").iterdir():
        shown |= set(re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE))
    # Links to folders are not followed: each module counts where it really is.
    real = [*(project_root / "fada").rglob("*.py")]
    real += [path for top in ("teacher", "student", "eval") for path in (project_root / top).rglob("*.py")]
    names = set()
    for path in real:
        parts = path.relative_to(project_root).with_suffix("").parts
        names.add(".".join(parts if parts[0] == "fada" else ("fada", *parts)).removesuffix(".__init__"))
    left_out = {
        name for name in names if any(f"{name}.".startswith(f"{each}.") for each in assemble.api_pages.LEFT_OUT)
    }
    assert shown == names - left_out - {"fada.__main__"}
    # A library is more than its commands.
    built_on = {
        "data",
        "diffusion",
        "engine",
        "eval",
        "export",
        "family",
        "generation",
        "media",
        "recipe",
        "student",
        "teacher",
    }
    assert {f"fada.{name}" for name in built_on} <= shown


def test_all_public_names_stand_in_the_first_page_of_the_api(site: Path) -> None:
    import fada

    text = (site / "docs" / "reference" / "api" / "fada.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `fada\.(\w+)` \|", text, re.MULTILINE) == sorted(fada.__all__)
