"""Damage of structured files: values of another type or size, hostile names, depth, unicode; and of bytes."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

WORDS = (
    "", " ", ".", "..", "/", "../../canary/precious", "/dev/zero", "~", "a/b", "a\0b", "x" * 300, "é", "\u202egpj",
    "\x1b[2J", "\ud83d\ude00", "[bold]x[/bold]", "-rf", "--help", "yes", "no", "010", "1:30", "2024-01-01", ".inf",
    "null", "con", "evil", "transformers.AutoModel", "__class__", "%s%n", "${HOME}", "$(touch canary)", "NaN",
    "é" * 100,
)  # fmt: skip
NUMBERS: tuple[Any, ...] = (
    0, -1, 1, 2, 3, 10**3, 10**5, 10**9, 2**31, 2**63, 2**64, 10**30, -(2**63), 0.5, -0.0, 1e-300, 1e300, float("inf"),
    float("nan"), True, False, None,
)  # fmt: skip
CODE = (
    "!!python/object/apply:os.system ['touch {canary}']",
    "!!python/name:os.system",
    "!!python/object/new:type {{}}",
    "&a [*a]",
    "<<: *x",
    "!!binary aGk=",
)
Spot = tuple[Any, Any]
"""A container and the key or index in it."""
Tree = dict[str, Any] | list[Any]


def spots(tree: Any) -> list[Spot]:
    """Every place in a tree of lists and mappings."""
    found: list[Spot] = []
    below = [tree]
    while below:
        here = below.pop()
        inner = here.items() if isinstance(here, dict) else enumerate(here) if isinstance(here, list) else ()
        for key, value in inner:
            found.append((here, key))
            below.append(value)
    return found


def word(choose: random.Random, canary: str) -> str:
    return choose.choice((*WORDS, canary, f"{canary}/../x", f"../{canary}"))


def swap_value(tree: Tree, choose: random.Random, canary: str) -> None:
    here, key = choose.choice(spots(tree))
    others: tuple[Any, ...] = (word(choose, canary), choose.choice(NUMBERS), [], {}, [choose.choice(NUMBERS)] * 3)
    here[key] = choose.choice(others)


def swap_number(tree: Tree, choose: random.Random, canary: str) -> None:
    numbers = [(here, key) for here, key in spots(tree) if isinstance(here[key], int | float)]
    if numbers:
        here, key = choose.choice(numbers)
        here[key] = choose.choice(NUMBERS)


def swap_word(tree: Tree, choose: random.Random, canary: str) -> None:
    words = [(here, key) for here, key in spots(tree) if isinstance(here[key], str)]
    if words:
        here, key = choose.choice(words)
        here[key] = word(choose, canary)


def remove_entry(tree: Tree, choose: random.Random, canary: str) -> None:
    here, key = choose.choice(spots(tree))
    del here[key]


def add_entry(tree: Tree, choose: random.Random, canary: str) -> None:
    here, key = choose.choice(spots(tree))
    value = copy.deepcopy(here[key]) if choose.random() < 0.5 else choose.choice(NUMBERS)
    if isinstance(here, dict):
        here[word(choose, canary)] = value
    else:
        here.insert(key, value)


def swap_entries(tree: Tree, choose: random.Random, canary: str) -> None:
    (here, key), (there, other) = choose.choice(spots(tree)), choose.choice(spots(tree))
    one, two = copy.deepcopy(here[key]), copy.deepcopy(there[other])
    here[key], there[other] = two, one


def nest(tree: Tree, choose: random.Random, canary: str) -> None:
    here, key = choose.choice(spots(tree))
    for _ in range(choose.choice((2, 40, 500))):
        here[key] = [here[key]] if choose.random() < 0.5 else {"a": here[key]}


def swell(tree: Tree, choose: random.Random, canary: str) -> None:
    here, key = choose.choice(spots(tree))
    value = here[key]
    if isinstance(value, list) and value:
        here[key] = value * (20_000 // len(value))
    elif isinstance(value, dict):
        here[key] = value | {f"k{number}": number for number in range(20_000)}
    else:
        here[key] = "x" * 200_000


TreeMutation = Callable[[Tree, random.Random, str], None]
TREE: tuple[TreeMutation, ...] = (
    swap_value, swap_number, swap_word, remove_entry, add_entry, swap_entries, nest, swell,
)  # fmt: skip


def damage_tree(tree: Tree, choose: random.Random, canary: str) -> str:
    """Change a tree in one to three ways; the names of the ways."""
    done = []
    for _ in range(choose.choice((1, 1, 2, 3))):
        if not spots(tree):
            break
        # Swollen twice, a tree would fill the memory before anybody reads it.
        mutate = choose.choice([each for each in TREE if each is not swell or swell.__name__ not in done])
        try:
            mutate(tree, choose, canary)
        except RecursionError:
            # Too deep already to be copied.
            continue
        done.append(mutate.__name__)
    return "+".join(done)


def damage_bytes(data: bytes, choose: random.Random, canary: str) -> tuple[bytes, str]:
    """Flipped, cut, doubled or foreign bytes; and the name of the way."""
    changed = bytearray(data)
    way = choose.choice(("flip", "cut", "zero", "double", "insert", "empty", "encode"))
    place = choose.randrange(len(changed) + 1)
    if way == "flip":
        for _ in range(choose.randint(1, 20)):
            if changed:
                changed[choose.randrange(len(changed))] ^= 1 << choose.randrange(8)
    elif way == "cut":
        del changed[place:]
    elif way == "zero":
        length = min(choose.choice((1, 16, 512)), len(changed) - place)
        changed[place : place + length] = bytes(length)
    elif way == "double":
        changed[place:place] = changed[place : place + choose.choice((8, 100, 2000))]
    elif way == "insert":
        words = (word(choose, canary), choose.choice(CODE).format(canary=canary))
        changed[place:place] = choose.choice(words).encode("utf-8", "surrogatepass")
    elif way == "empty":
        changed.clear()
    else:
        changed[:] = choose.choice((b"\xff\xfe", b"\xef\xbb\xbf", b"\0", b"[" * 100_000, b'{"a":' * 50_000)) + changed
    return bytes(changed), way
