"""What decides in the drawn world: the quality error, pairs and independent units; both tiers together; by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from fada.cli.app import run
from fada.files.errors import FolderFault
from fada.studies.ablations.order_verdicts import order_verdicts
from fada.studies.ablations.orders_page import orders_page, word_of, write_orders_page
from fada.studies.ablations.rows import CLAIMS, ORDERS, TEACHERS, Claim
from fada.studies.ablations.verdicts import advantages, against_line, compared, drawn_orders, error_of, lines_compared
from tests.runs.made_up_ablations import line, results, row

FIXED = Claim(3, "fixed-0.2", "fixed-0", "ground truth improves performance")
TENTH = math.log(1.1)


def named(**rows: dict) -> dict:
    """Results whose rows have dots in their names: `fixed_0p2` is `fixed-0.2`."""
    found = results(**rows)
    found["rows"] = {name.replace("p", ".") if "fixed" in name else name: each for name, each in found["rows"].items()}
    return found


def test_the_quality_error_is_the_geometric_mean_of_what_mouth_and_identity_lack() -> None:
    found = line({"a-0": 8.0, "a-1": 12.0}, mouth=0.6)
    assert error_of(found, ["a-0", "a-1"]) == pytest.approx(2.0)  # sqrt(0.4 x 10)
    found["clips"]["a-1"]["mouth_correlation_synth"] = None
    # A mouth that stands still has r = 0 and does not leave the mean: sqrt((0.4 + 1) / 2 x 10).
    assert error_of(found, ["a-0", "a-1"]) == pytest.approx(7.0**0.5)
    assert error_of(found, []) is None


def test_differences_are_shares_paired_by_seed() -> None:
    # An identity error 1.21 times as large makes a quality error 1.1 times as large, whatever the seed's own level.
    found = named(fixed_0p2=row(10.0, 20.0), fixed_0=row(12.1, 24.2))
    assert advantages(found, FIXED) == pytest.approx([TENTH, TENTH])


def test_a_table_is_decided_on_its_own_clips() -> None:
    worse_beyond = {"a-0": 10.0, "a-1": 10.0, "b-0": 14.2, "b-1": 14.2}
    found = results(perflow={"0": line(10.0)}, tcd={"0": line(worse_beyond)})
    assert advantages(found, Claim(2, "perflow", "tcd", "")) == [0.0]
    # Both halves together: a mean of 12.1.
    assert advantages(found, Claim(3, "perflow", "tcd", "")) == pytest.approx([TENTH])


def test_rows_with_starts_of_their_own_are_compared_once_per_pair_of_starts() -> None:
    tokens = row(10.0, 10.0, 10.0, 10.0, starts=(("tokens", 0), ("tokens", 1)) * 2)
    layer = row(12.1, 10.0, 12.1, 10.0, starts=(("layer", 0), ("layer", 1)) * 2)
    found = results(tokens=tokens, layer=layer)
    assert compared(found, "layer", "tokens", ("narrow",)) == pytest.approx([TENTH, 0.0])
    for seeds in (tokens, layer):
        for each in seeds.values():
            each["start"] = ["shared", 0]
    assert compared(found, "layer", "tokens", ("narrow",)) == pytest.approx([TENTH, 0.0, TENTH, 0.0])


def test_one_start_of_each_kind_decides_nothing_however_many_seeds_there_are() -> None:
    tokens, layer = (row(*[error] * 8, starts=((kind, 0),) * 8) for kind, error in (("t", 10.0), ("l", 99.0)))
    (order,) = drawn_orders(results(tokens=tokens, layer=layer))
    assert (order.word, order.advantage.count, order.p_value) == ("undecided", 1, None)


def test_the_two_teachers_are_compared_over_the_clips_as_a() -> None:
    found = results()
    found["teacher-b"] = line(2.42, 0.9, 75)
    claim = ORDERS[0]
    assert (claim.better, claim.worse, claim.table) == (*TEACHERS, 2)
    assert advantages(found, claim) == pytest.approx([TENTH, TENTH])
    found["teacher-b"] = None
    assert advantages(found, claim) == []


def test_a_row_is_set_against_a_line_on_the_rows_own_clips_and_noise() -> None:
    found = results(perflow={"0": line({"a-0": 10.0}), "1": line({"a-1": 10.0})})
    found["baselines"]["untrained"] = line({"a-0": 12.1, "a-1": 10.0, "b-0": 99.0, "b-1": 99.0})
    # One start: the mean of its seeds.
    assert against_line(found, "perflow", "untrained", ("narrow",)) == pytest.approx([TENTH / 2])


def test_lines_beside_the_rows_are_compared_by_pseudo_values_of_the_clips() -> None:
    found = results()
    found["baselines"]["untrained"] = line({"a-0": 2.42, "a-1": 2.0, "b-0": 9.0, "b-1": 9.0}, 0.9)
    values = lines_compared(found, "untrained", "teacher", ("narrow",))
    # n value - (n - 1) without: both clips together 2.21 / 2, without the first 1, without the second 1.21.
    assert values == pytest.approx([math.log(1.105), math.log(1.105) - TENTH])


def test_all_orders_are_one_family_and_looks_divide_the_level() -> None:
    # t = 0.05 sqrt(11) / 0.069 = 2.403 with 11 degrees of freedom: p = 0.0350.
    near = [0.05 + 0.069 * sign for sign in (1, -1) * 6]
    sure = [0.01 + 0.0001 * sign for sign in (1, -1) * 6]
    other = Claim(4, "tokens", "layer", "")
    words = {looks: [each.word for each in order_verdicts([(FIXED, near)], looks)] for looks in (1, 3)}
    assert words == {1: ["holds"], 3: ["undecided"]}
    both = order_verdicts([(FIXED, near), (other, [-each for each in near]), (CLAIMS[0], sure), (CLAIMS[1], [])], 1)
    # Holm: 0.0350 is the second of three, times two; an order without values is none of the family.
    assert [each.word for each in both] == ["undecided", "undecided", "holds"]
    assert both[0].p_value == pytest.approx(2 * 0.0350, rel=0.01)
    assert both[0].seeds_needed is not None


def test_a_row_that_was_not_run_leaves_its_orders_out() -> None:
    assert drawn_orders(named(fixed_0p2=row(1.0, 2.0))) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["holds", "undecided"], "holds"),
        (["undecided", "does not hold"], "does not hold"),
        (["undecided", "undecided"], "undecided"),
        (["holds", "does not hold"], "contradictory"),
        ([], "not measured"),
    ],
)
def test_tiers_together(words: list, expected: str) -> None:
    assert word_of(words) == expected


SURE = row(*(12.1 + 0.01 * seed for seed in range(8)))


def test_one_page_has_both_tiers_and_counts_what_either_decides() -> None:
    drawn = named(fixed_0p2=row(*[10.0] * 8), fixed_0=SURE)
    exact = {"rows": {"fixed-0.2@paper": {"3": {"error_open": [0.1, 0.2, 0.3]}},
                      "fixed-0@paper": {"3": {"error_open": [0.2, 0.2, 0.3]}}}, "looks": 1}  # fmt: skip
    text = orders_page(exact, drawn)
    assert "**1 of 17 orders are decided by one of the tiers** (exact world: 0 decided of 1 measured" in text
    (found,) = [each for each in text.splitlines() if "| fixed-0.2 before fixed-0 |" in each]
    assert found.endswith("| **holds** |")
    assert "undecided (+0.033 ± " in found
    assert "| not measured | not measured | **not measured** |" in text


def test_values_of_the_world_without_headroom_count_for_nothing() -> None:
    drawn = {**named(fixed_0p2=row(*[10.0] * 8), fixed_0=SURE), "schema_version": 1}
    assert "drawn world: not measured" in orders_page({}, drawn)


def test_the_orders_page_is_written_beside_the_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ablate", "--orders", str(tmp_path)]) != 0
    assert "neither exact.json nor ablations.json of a finished run is there" in " ".join(
        capsys.readouterr().err.split()
    )
    (tmp_path / "ablations.json").write_text(json.dumps(named(fixed_0p2=row(*[10.0] * 8), fixed_0=SURE)))
    assert run(["ablate", "--orders", str(tmp_path)]) == 0
    assert "drawn world: 1 decided of 1 measured" in (tmp_path / "orders.md").read_text()
    (tmp_path / "orders.md").write_text("# My orders\n")
    with pytest.raises(FolderFault, match=r"orders.md: is there, and no page of ablations"):
        write_orders_page(tmp_path)
