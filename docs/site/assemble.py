"""Gathers the site's pages in a folder: documents, recipes, examples, and what is made from the code.

    python docs/site/assemble.py      into build/docs

Documents, recipes and sources link to each other as files of the repository, so that they can be read where they lie.
On the site such a file is a page too: here the pages are made and the links rewritten, and a link that leads to no page
is an error. What then makes HTML of the folder (`mkdocs.yml` beside this file) knows nothing of it, and may be another
program.
"""

from __future__ import annotations

import posixpath
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import api_pages
import command_reference
import family_facts
import recipe_reference

ROOT = Path(__file__).parents[2]
DOCUMENTS = {
    "CHANGELOG.md": "project/changes.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "teacher/shipped/drawn/README.md": "project/shipped-drawn.md",
}
"""Documents outside of docs/ → their pages. The front page, docs/index.md, is the README's for the site."""
MADE: dict[str, Callable[[str], str]] = {
    "recipe-fields": lambda _: recipe_reference.fields(),
    "commands": lambda _: command_reference.commands(),
    "family": family_facts.table,
    "api-packages": lambda _: api_pages.contents(ROOT),
}
"""What a page shows in place of `<!-- made: NAME ARGUMENT -->`."""
_MARK = re.compile(r"<!-- made: ([a-z-]+) ?(\w*) -->")
_FENCED = re.compile(r"^( *)(```+).*?^\1\2 *$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()(?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?(?=\))")


class NoPage(ValueError):
    """A document links to something that is no page of the site."""


def examples(root: Path) -> dict[str, str]:
    """Page → its text, of the programs in examples/."""
    return {
        f"examples/{path.stem}.md": f"# {path.stem.replace('_', ' ').capitalize()}\n\n`{path.relative_to(root)}`\n\n"
        f"```python\n{path.read_text(encoding='utf-8')}```\n"
        for path in sorted((root / "examples").glob("*.py"))
    }


def made_pages(root: Path) -> dict[str, dict[str, str]]:
    """Word in the navigation → the pages that it stands for, with their text."""
    return {
        "EXAMPLES": examples(root),
        "RECIPES": recipe_reference.shipped_pages(),
        "API": api_pages.pages(root),
    }


def documents(root: Path) -> dict[str, str]:
    """Page → its text, of the documents as they lie in the repository, brought to the site."""
    homes = {f"docs/{path.relative_to(root / 'docs').as_posix()}": path for path in (root / "docs").rglob("*.md")}
    homes |= {name: root / name for name in DOCUMENTS}
    found = {}
    for home, path in homes.items():
        here = DOCUMENTS.get(home, home.removeprefix("docs/"))
        found[here] = on_site(path.read_text(encoding="utf-8"), home, here)
    return found


def on_site(text: str, home: str, here: str) -> str:
    """A document as a page.

    Args:
        text: Markdown.
        home: where it lies in the repository.
        here: where its page lies on the site.

    Raises:
        NoPage: it links to what is none.
    """
    linked = _outside_code(text, lambda part: _LINK.sub(lambda link: _target(link, home, here), part))
    return _MARK.sub(lambda mark: MADE[mark[1]](mark[2]), linked)


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    """The text, changed but for its fenced blocks."""
    parts, end = [], 0
    for block in _FENCED.finditer(text):
        parts += [change(text[end : block.start()]), block[0]]
        end = block.end()
    return "".join([*parts, change(text[end:])])


def _target(link: re.Match[str], home: str, here: str) -> str:
    target = posixpath.normpath(posixpath.join(posixpath.dirname(home), link["path"]))
    page, anchor = _page_of(target, home)
    return posixpath.relpath(page, posixpath.dirname(here) or ".") + (link["anchor"] or anchor)


def _page_of(target: str, home: str) -> tuple[str, str]:
    """The page that shows a file or folder of the repository, and the place in it."""
    place = Path(target)
    top = place.parts[0]
    if target in DOCUMENTS:
        return DOCUMENTS[target], ""
    if top == "docs":
        return target.removeprefix("docs/"), ""
    if top == "recipes" and len(place.parts) > 1:
        name = place.relative_to(top).with_suffix("").as_posix()
        return recipe_reference.page_of(name), f"#{recipe_reference.anchor(name)}" if place.suffix else ""
    if top == "examples":
        return (f"examples/{place.stem}.md" if place.suffix else "guides/own-model.md"), ""
    if place.suffix == ".py":
        return api_pages.place_of(place)
    raise NoPage(f"{home}: links to {target}, which is no page of the site; name its page in {Path(__file__).name}")


def navigation(template: str, made: dict[str, dict[str, str]]) -> str:
    """The settings of the site, with the pages that are made in place of the word for them."""
    for word, pages in made.items():
        template = re.sub(
            rf"^( *)- {word}$",
            lambda line, names=pages: "\n".join(f"{line[1]}- {name}" for name in names),  # type: ignore[misc]
            template,
            flags=re.MULTILINE,
        )
    return template


def assemble(root: Path, out: Path) -> None:
    """Write the pages into `out`, a new folder, and the site's settings beside it as mkdocs.yml."""
    shutil.copytree(root / "docs", out, ignore=shutil.ignore_patterns("site", "*.md"))
    shutil.copytree(root / "docs" / "site" / "assets", out / "assets")
    made = made_pages(root)
    pages = documents(root)
    for group in made.values():
        pages |= group
    for page, text in pages.items():
        (out / page).parent.mkdir(parents=True, exist_ok=True)
        (out / page).write_text(text, encoding="utf-8")
    template = (root / "docs" / "site" / "mkdocs.yml").read_text(encoding="utf-8")
    (out.parent / "mkdocs.yml").write_text(navigation(template, made), encoding="utf-8")


if __name__ == "__main__":
    # Of an earlier build; nothing else is ever removed.
    shutil.rmtree(ROOT / "build" / "docs", ignore_errors=True)
    assemble(ROOT, ROOT / "build" / "docs")
