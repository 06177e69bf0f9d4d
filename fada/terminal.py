"""Words for a terminal: whatever names and texts from outside hold, they are shown and never obeyed.

A file name may hold escape sequences that move the cursor, clear what was said or set the window's title, marks that
turn the direction of writing round, or rich's markup. Everything that fada prints goes through here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.text import Text

_HIDDEN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
"""Unicode's categories of what a terminal obeys or does not show: controls, marks of direction, joiners, separators."""


def printable(text: str, longest: int | None = None, *, lines: bool = False) -> str:
    r"""A text with everything made visible that would be obeyed: ESC becomes \x1b, a turn of direction \u202e.

    Args:
        longest: letters that are shown; the middle of longer texts is left out.
        lines: line ends stay.
    """
    if not text.isprintable():
        text = "".join(each if each.isprintable() or (lines and each == "\n") else _shown(each) for each in text)
    if longest is not None and len(text) > longest:
        half = (longest - 3) // 2
        text = f"{text[: longest - 3 - half]}...{text[len(text) - half :]}"
    return text


def _shown(letter: str) -> str:
    # Spaces other than the plain one are no printable letters to Python, but do no harm.
    if unicodedata.category(letter) not in _HIDDEN:
        return letter
    return ascii(letter)[1:-1]


class SafeConsole(Console):
    """rich's console for texts from outside: markup in them is text, controls are shown.

    Styles are given by `Text` and `style`, never inside strings.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:  # type: ignore[override]
        """As rich's; here for what is measured, so that tables stay straight."""
        return super().render_str(printable(text, lines=True), **options)

    def render(self, renderable: Any, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich's; here for what was made outside of this console."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable(segment.text, lines=True), segment.style)
