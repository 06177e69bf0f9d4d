"""Pages of the API: one for each package of fada that is read from Python, its modules below each other.

The text is mkdocstrings' (docstrings and signatures, from the sources; nothing is imported).
"""

from __future__ import annotations

import ast
from pathlib import Path

LEFT_OUT = ("fada.cli", "fada.assembly", "fada.packing", "fada.run", "fada.studies", "fada.eval.exact_world")
"""Packages that are the command line's: what they do is read in its reference, and in docs/architecture.md."""
FOLDER = "reference/api"
_PLAIN = ("fada.__main__",)
_LINKED = ("teacher", "student", "eval")


def pages(root: Path) -> dict[str, str]:
    """Page → its text."""
    found = {f"{FOLDER}/fada.md": _public(root)}
    for package in _packages(root):
        modules = [package, *_modules(root, package)]
        text = "".join(f"\n::: {name}\n" for name in modules)
        found[f"{FOLDER}/{package}.md"] = f"---\ntitle: {package}\n---\n\n# {package}\n{text}"
    return found


def contents(root: Path) -> str:
    """A table of the packages, with the first line of each one's docstring."""
    rows = [f"| [`{name}`](api/{name}.md) | {_purpose(root, name)} |" for name in ("fada", *_packages(root))]
    return "\n".join(["| package | |", "| --- | --- |", *rows])


def place_of(source: Path) -> tuple[str, str]:
    """The page of a source file of the repository, and the place in it."""
    parts = source.with_suffix("").parts
    module = ".".join(("fada", *parts) if parts[0] in _LINKED else parts).removesuffix(".__init__")
    package = module if source.name == "__init__.py" else module.rpartition(".")[0]
    return f"{FOLDER}/{package}.md", f"#{module}"


def _public(root: Path) -> str:
    """What `fada.__all__` names, and the modules that lie in the package itself."""
    tree = ast.parse((root / "fada" / "__init__.py").read_text(encoding="utf-8"))
    homes: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Dict):
            homes |= ast.literal_eval(node.value)
    names = {name: home if home == f"fada.{name}" else f"{home}.{name}" for name, home in sorted(homes.items())}
    rows = "\n".join(f"| `fada.{name}` | [{place}][{place}] |" for name, place in names.items())
    modules = "".join(f"\n::: {name}\n" for name in _modules(root, "fada"))
    head = "---\ntitle: fada\n---\n\n# fada\n\n::: fada\n    options: {members: [], show_root_heading: false}\n"
    return f"{head}\n| public name | is |\n| --- | --- |\n{rows}\n{modules}"


def _packages(root: Path) -> list[str]:
    """Every package but the top one and those that are left out, links followed once."""
    found = []
    for folder in (root / "fada", *(root / name for name in _LINKED)):
        for path in folder.rglob("__init__.py"):
            parts = path.parent.relative_to(root).parts
            name = ".".join(("fada", *parts) if parts[0] in _LINKED else parts)
            if name != "fada" and not any(name == each or name.startswith(f"{each}.") for each in LEFT_OUT):
                found.append(name)
    return sorted(set(found))


def _folder(root: Path, package: str) -> Path:
    return root.joinpath(*package.split("."))


def _modules(root: Path, package: str) -> list[str]:
    files = sorted(_folder(root, package).glob("*.py"))
    names = [f"{package}.{file.stem}" for file in files if file.stem != "__init__"]
    return [name for name in names if name not in _PLAIN]


def _purpose(root: Path, package: str) -> str:
    tree = ast.parse((_folder(root, package) / "__init__.py").read_text(encoding="utf-8"))
    first = (ast.get_docstring(tree) or "").partition("\n\n")[0]
    return " ".join(first.split()).replace("|", "\\|")
