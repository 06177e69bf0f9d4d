"""One page over both tiers: each of the paper's orders with what the exact world and the drawn world say of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fada.eval.bench.results import kept_json
from fada.files.whole import write_text
from fada.recipe.errors import RecipeError
from fada.studies.ablations.order_verdicts import Order, Word
from fada.studies.ablations.page import check_page
from fada.studies.ablations.rows import ORDERS, Claim
from fada.studies.ablations.verdicts import drawn_orders
from fada.studies.exact.rows import SETTINGS
from fada.studies.exact.verdicts import verdicts_of

TITLE = "# The paper's orders in both tiers"
NAME = "orders.md"
SCHEMA = 2
"""Of the drawn world's values; those of an earlier world had no headroom, and count for nothing."""


def write_orders_page(folder: Path) -> Path:
    """Write `FOLDER/orders.md` from `exact.json` and `ablations.json` beside it; the page's path.

    Raises:
        RecipeError: neither of them is there.
        FolderFault: `orders.md` is there, and no such page.
    """
    page = folder / NAME
    check_page(page, TITLE)
    exact, drawn = kept_json(folder / "exact.json"), kept_json(folder / "ablations.json")
    if not exact.get("rows") and not is_drawn(drawn):
        raise RecipeError(
            f"{folder}: neither exact.json nor ablations.json of a finished run is there; write them with "
            "fada ablate --world exact --page, and fada ablate --page"
        )
    write_text(page, orders_page(exact, drawn))
    return page


def is_drawn(values: Mapping[str, Any]) -> bool:
    """Whether these are values of the drawn world with headroom."""
    return values.get("schema_version") == SCHEMA and bool(values.get("rows"))


def orders_page(exact: Mapping[str, Any], drawn: Mapping[str, Any]) -> str:
    """The page, from the values of both tiers; of a tier without any it says so."""
    tiers = {
        "exact world": _words(exact.get("rows"), lambda: verdicts_of(exact, SETTINGS[0])),
        "drawn world": _words(is_drawn(drawn), lambda: drawn_orders(drawn)),
    }
    lines = [_line(["table", "the paper's order", "in its words", *tiers, "**together**"]),
             _line(["---", "---", "---", *["---"] * len(tiers), "---"])]  # fmt: skip
    together = []
    for claim in ORDERS:
        found = [tier.get(claim) for tier in tiers.values()]
        together.append(word_of([order.word for order in found if order is not None]))
        cells = ["not measured" if order is None else _cell(order) for order in found]
        order = f"{claim.better} before {claim.worse}"
        lines.append(_line([str(claim.table), order, claim.words, *cells, f"**{together[-1]}**"]))
    counts = ", ".join(f"**{word}: {together.count(word)}**" for word in dict.fromkeys(sorted(together)))
    decided = sum(word not in ("undecided", "not measured") for word in together)
    by_tier = "; ".join(f"{name}: {_count(found)}" for name, found in tiers.items())
    return f"""{TITLE}

```sh
fada ablate --orders docs/results     # from exact.json and ablations.json beside this page
```

**{decided} of {len(ORDERS)} orders are decided by one of the tiers** ({by_tier}). {counts}.

{chr(10).join(lines)}

Each tier has its own measure and its own correction (Holm over all its orders, its looks counted): see
[exact.md](exact.md) and [ablations.md](ablations.md). In brackets: advantage of the first row in its tier's unit, and
how many independent units (seeds, mostly) it is the mean of; the exact world's is that of the paper's setting.
"together": what the deciding tiers say; `contradictory` where one says the contrary of the other.
"""


def word_of(words: Sequence[Word]) -> str:
    """One word for both tiers."""
    if not words:
        return "not measured"
    found = sorted(set(words) - {"undecided"})
    return "contradictory" if len(found) > 1 else (found or ["undecided"])[0]


def _words(is_there: Any, orders: Callable[[], list[Order]]) -> dict[Claim, Order]:
    return {order.claim: order for order in orders()} if is_there else {}


def _count(found: Mapping[Claim, Order]) -> str:
    if not found:
        return "not measured"
    return f"{sum(order.word != 'undecided' for order in found.values())} decided of {len(found)} measured"


def _cell(order: Order) -> str:
    found = order.advantage
    half = "" if found.half_width is None else f" ± {found.half_width:.3f}"
    return f"{order.word} ({'+' if found.mean >= 0 else '−'}{abs(found.mean):.3f}{half}, {found.count})"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
