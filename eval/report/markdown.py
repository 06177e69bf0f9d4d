"""``report.md``: the tables in reading order, with the plots and the protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from fada.eval.bench.results import BenchResults
from fada.eval.report.table import Table
from fada.files.markdown import code_block, markdown_cell, markdown_text
from fada.files.shareable import shareable


def markdown_report(
    results: BenchResults, title: str, tables: dict[str, Table], paper: Table, pictures: Sequence[tuple[str, str]]
) -> str:
    """The whole report as text.

    Args:
        results: what was measured.
        title: the first heading.
        tables: by name, in order.
        paper: the quoted figures, printed last and apart.
        pictures: (caption, path relative to the report).
    """
    parts = [f"# {markdown_text(title)}", markdown_cell(opening(results))]
    parts += [f"## {table.title}\n\n{table.markdown()}" for table in tables.values()]
    if pictures:
        parts.append(
            "## Pictures\n\n"
            + "\n\n".join(
                f"![{markdown_text(caption)}]({quote(path)})\n\n{markdown_text(caption)}" for caption, path in pictures
            )
        )
    parts.append(f"## Protocol and environment\n\n{code_block(protocol_text(results), 'json')}")
    parts.append(f"## {paper.title}\n\n{paper.markdown()}")
    return "\n\n".join(parts) + "\n"


def _picture(caption: str, path: str) -> str:
    shown = markdown_text(caption)
    return f"![{shown}]({quote(path)})\n\n{shown}"


def opening(results: BenchResults) -> str:
    """One paragraph: what was compared, on what, under which fingerprint."""
    protocol: dict[str, Any] = results.protocol
    frames = "/".join(map(str, protocol["frames"])) or "an unknown number of"
    return (
        f"{len(results.systems)} systems on {len(protocol['clips'])} held-out clips of {protocol['identities']} "
        f"identities, {', '.join(protocol['resolution'])} pixels, {frames} frames at "
        f"{'/'.join(f'{fps:g}' for fps in protocol['fps'])} fps; seed {protocol['seed']}, "
        f"{protocol['warmups']} warm-ups, {protocol['repeats']} timing rounds. "
        f"Reference: {results.reference}. Protocol {protocol['fingerprint']}."
    )


def protocol_text(results: BenchResults) -> str:
    """Protocol and environment as indented JSON, without the places of files on this machine."""
    told = shareable({"protocol": results.protocol, "environment": results.environment})
    return json.dumps(told, indent=2, default=str)
