"""The shell blocks of the documents: their simple commands, word by word.

Only what the documents use of the shell is known: comments, lines that go on, quotes, pipes, `>` into a file, texts
behind `<<'EOF'`, and brackets around what may be left out, as in ``fada distill RECIPE [key=value ...]``.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_HERE = re.compile(r"<<'(\w+)'\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
_OPERATORS = {"|", "||", "&&", ";", "&"}


@dataclass(frozen=True)
class Command:
    """One command: its words, the file that `>` names, and the text that `<<` hands it."""

    place: str
    words: tuple[str, ...]
    into: str | None = None
    told: str = ""

    @property
    def fada(self) -> tuple[str, ...] | None:
        """What fada is given, whoever starts it; None where it is not called."""
        for index, word in enumerate(self.words):
            if (word == "fada" or word.endswith("/fada")) and "=" not in word:
                return self.words[index + 1 :]
        return None


def blocks(language: str) -> list[tuple[str, str]]:
    """Place and text of every block of a language in the documents."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    found = []
    for page in sorted(pages):
        text = page.read_text(encoding="utf-8")
        for block in _BLOCK.finditer(text):
            if block[2] == language:
                line = text.count("\n", 0, block.start()) + 1
                found.append((f"{page.relative_to(ROOT)}:{line}", block[3]))
    return found


def commands(place: str, text: str) -> list[Command]:
    """The commands of a block, in order.

    Raises:
        ValueError: a quote is not closed.
    """
    handed: list[str] = []

    def without_text(found: re.Match[str]) -> str:
        handed.append(found[2])
        return f"<< {len(handed) - 1}\n"

    lines = _HERE.sub(without_text, text).replace("\\\n", " ").splitlines()
    found: list[Command] = []
    for line in lines:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in _OPERATORS:
                words.append(word)
            elif words:
                found.append(_command(place, words, handed))
                words = []
    return found


def _command(place: str, words: list[str], handed: list[str]) -> Command:
    into, told, kept = None, "", []
    rest = iter(words)
    for word in rest:
        if word == ">":
            into = next(rest)
        elif word == "<<":
            told = handed[int(next(rest))]
        else:
            kept.append(_without_brackets(word))
    # `...` and [key=value ...] stand for whatever one likes.
    return Command(place, tuple(word for word in kept if word not in ("...", "key=value", "KEY=VALUE")), into, told)


def _without_brackets(word: str) -> str:
    """A word of what may be left out, without the brackets that say so; lists in YAML keep theirs."""
    word = word[1:] if word.startswith("[") else word
    while word.endswith("]") and word.count("]") > word.count("["):
        word = word[:-1]
    return word
