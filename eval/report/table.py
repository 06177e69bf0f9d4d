"""One table, three forms: Markdown, CSV and HTML that can be sorted."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from fada.files.markdown import markdown_cell

LONG = 24
"""Texts of more characters may wrap; shorter ones stay on one line."""


@dataclass(frozen=True)
class Cell:
    """A text and, where it stands for a number, that number to sort by; ``tone`` colours it (``good``, ``bad``)."""

    text: str
    number: float | None = None
    tone: str = ""


@dataclass(frozen=True)
class Table:
    """A titled table; ``notes`` are sentences printed below it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        uneven = [len(row) for row in self.rows if len(row) != len(self.columns)]
        assert not uneven, f"table {self.title}: {len(self.columns)} columns but rows of {uneven} cells"

    def markdown(self) -> str:
        """A GitHub table without its title, numbers to the right."""
        is_number = [self.is_number(column) for column in range(len(self.columns))]
        lines = [_line(self.columns), _line(["---:" if number else "---" for number in is_number])]
        lines += [_line([cell.text for cell in row]) for row in self.rows]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)])

    def csv(self) -> str:
        """Comma-separated values with a head; numbers in full precision, not as printed."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        for row in self.rows:
            writer.writerow([cell.text if cell.number is None else repr(cell.number) for cell in row])
        return text.getvalue()

    def html(self, identifier: str) -> str:
        """A table whose head cells are buttons that sort it; the page's script does the sorting."""
        head = "".join(
            f'<th scope="col"{self._align(place)}><button type="button">{escape(column)}</button></th>'
            for place, column in enumerate(self.columns)
        )
        body = "".join(f"<tr>{self._html_row(row)}</tr>" for row in self.rows)
        notes = "".join(f'<p class="note">{escape(note)}</p>' for note in self.notes)
        return (
            f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(self.title)}">'
            f'<table id="{escape(identifier)}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{notes}'
        )

    def _html_row(self, row: Sequence[Cell]) -> str:
        cells = []
        for place, cell in enumerate(row):
            order = "" if cell.number is None else f' data-sort="{cell.number!r}"'
            tone = f'<span class="{escape(cell.tone)}">{escape(cell.text)}</span>' if cell.tone else escape(cell.text)
            tag = 'th scope="row"' if place == 0 else "td"
            cells.append(f"<{tag}{order}{self._align(place)}>{tone}</{tag.split()[0]}>")
        return "".join(cells)

    def _align(self, column: int) -> str:
        if self.is_number(column):
            return ' class="number"'
        is_long = any(len(row[column].text) > LONG for row in self.rows)
        return ' class="long"' if is_long else ' class="short"'

    def is_number(self, column: int) -> bool:
        """Whether a column holds numbers, which stand to the right."""
        return any(row[column].number is not None for row in self.rows)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(markdown_cell, cells)) + " |"
