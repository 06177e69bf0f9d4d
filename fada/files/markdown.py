"""Text from outside in Markdown pages: shown as it is, never taken for headings, links, tables or HTML."""

from __future__ import annotations

import re

_OBEYED = re.compile(r"([\\`*<>\[\]|~])")
_STRUCTURE = re.compile(r"(\\|\||`|<(?=[A-Za-z/!?])|\](?=\())")
"""What ends a cell, begins code or a tag, or makes a link of what was in brackets before."""
_LINE_ENDS = re.compile(r"[\s\x1c-\x1f\x85\u2028\u2029]+")


def markdown_text(text: str) -> str:
    """A text on one line, in which no letter has a meaning to Markdown or HTML."""
    return _OBEYED.sub(r"\\\1", _LINE_ENDS.sub(" ", text)).strip()


def markdown_cell(text: str) -> str:
    """A cell of a table, or a sentence, of our own words with names in them: one line, without tags, links or code."""
    return _STRUCTURE.sub(r"\\\1", _LINE_ENDS.sub(" ", text))


def code_block(text: str, language: str = "") -> str:
    """A fenced block that no line of the text can end."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
