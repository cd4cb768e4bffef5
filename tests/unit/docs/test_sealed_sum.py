"""What the page on the sealed sum says in numbers is what the code computes."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from wardround.protect.attempt import Attempt, SurvivorList, default_threshold
from wardround.protect.lattice_parameters import LatticeParameters, choose, table
from wardround.protect.packing import Layout
from wardround.protect.pipeline import Homomorphic, Masks, Pipeline
from wardround.protect.quantise import Quantise
from wardround.protect.retry import Signed, groups, may_follow
from wardround.protect.scheme import Scheme

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "sealed-sum.md"
BITS = (8, 16, 32)
MOST_WEIGHT = 2**20
SITES = range(2, 10)
PLANS = ((16, 64), (16, 8), (8, 64), (8, 8), (32, 64))

Row = tuple[object, ...]


def rows_of(section: str) -> list[str]:
    """Return the rows of the table that a comment names, without its two head lines."""
    text = PAGE.read_text()
    start = text.index(f"<!-- {section}:")
    lines = text[start : text.index("<!-- end -->", start)].splitlines()
    return [line for line in lines if line.startswith("|")][2:]


def written(rows: list[Row]) -> list[str]:
    return ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]


def cheapest(bits: int) -> list[tuple[LatticeParameters, Layout]]:
    """Return the sets of `table` that hold more than every cheaper one, up to the largest W of a plan."""
    chosen: list[tuple[LatticeParameters, Layout]] = []
    for option in sorted(table(bits), key=lambda found: (found[0].bytes_per_value(found[1]), found[0].total_bits)):
        most = chosen[-1][0].weight_total if chosen else 0
        if most < option[0].weight_total and most < MOST_WEIGHT:
            chosen.append(option)
    return chosen


def parameter_row(parameters: LatticeParameters, layout: Layout) -> Row:
    return (
        layout.bits,
        f"{min(parameters.weight_total, MOST_WEIGHT):,}",
        layout.fields,
        " + ".join(str(prime.bit_length()) for prime in parameters.primes),
        f"{parameters.bytes_per_value(layout):.2f}",
        f"{parameters.sum_chunk_bytes / layout.values_per_chunk:.2f}",
        parameters.classical_bits,
        parameters.quantum_bits,
    )


def test_the_parameter_table_is_the_one_that_plans_get() -> None:
    assert rows_of("parameters") == written([parameter_row(*option) for bits in BITS for option in cheapest(bits)])


@pytest.mark.parametrize("bits", BITS)
def test_each_row_holds_up_to_its_weight_and_not_beyond(bits: int) -> None:
    rows = [(option[0].primes, option[1].fields, option[0].weight_total) for option in cheapest(bits)]
    for (primes, fields, most), following in zip(rows, [*rows[1:], None], strict=True):
        parameters, layout = choose(bits, min(most, MOST_WEIGHT))
        assert (parameters.primes, layout.fields) == (primes, fields)
        if following is not None:
            beyond, wider = choose(bits, most + 1)
            assert (beyond.primes, wider.fields) == following[:2]


def per_float(pipeline: Pipeline, weight_total: int) -> tuple[float, float]:
    """Return bytes of a whole part, up and down, for each of its values."""
    scheme = Scheme.of(pipeline, weight_total)
    part = slice(0, scheme.part_values)
    up = scheme.frame_bytes(part) / scheme.part_values
    if scheme.lattice is None:
        return up, 4.0  # the model is broadcast
    return up, scheme.lattice.sum_chunk_bytes / scheme.chunk_values


def test_the_table_of_bytes_is_what_frames_take() -> None:
    found: list[tuple[str, tuple[float, float]]] = [("nothing: updates in the clear", (4.0, 4.0))]
    for bits, weight in ((16, 64), (8, 8)):
        alone = per_float(Pipeline((Quantise(bits, weight),)), weight)
        assert alone == per_float(Pipeline((Quantise(bits, weight), Masks())), weight)
        found.append((f"quantise, with or without masks, {bits} bits, W = {weight}", alone))
    for bits, weight in PLANS:
        both = per_float(Pipeline((Quantise(bits, weight), Masks(), Homomorphic())), weight)
        assert both == per_float(Pipeline((Quantise(bits, weight), Homomorphic())), weight)
        found.append((f"packed, with or without masks, {bits} bits, W = {weight}", both))
    found.append(("ckks", per_float(Pipeline((Homomorphic("ckks"),)), 64)))
    expected: list[Row] = [(name, f"{up:.2f}", f"{down:.2f}", f"{up + down:.2f}") for name, (up, down) in found]
    assert rows_of("bytes") == written(expected)


def test_the_table_of_thresholds_follows_the_rule() -> None:
    expected: list[Row] = []
    for sites in SITES:
        threshold = default_threshold(sites)
        expected.append((sites, threshold, sites - threshold, threshold - 1, 2 * threshold - sites - 1, sites - 1))
    assert rows_of("thresholds") == written(expected)


def test_disjoint_groups_that_are_no_halves_give_a_site_away_and_are_refused() -> None:
    """The page's counterexample: what it shows, and that no honest site goes along."""
    everyone, first, second = {*"123456"}, {*"12"}, {*"345"}
    assert not first & second
    assert min(len(first), len(second), len(everyone - first), len(everyone - second)) >= 2
    assert everyone - first - second == {"6"}
    whole = Attempt(bytes(32), 0, 0, tuple(sorted(everyone)))
    opened = Signed(SurvivorList(whole, 4, whole.cohort), released=True)
    for number, group in enumerate((first, second), 1):
        later = Attempt(bytes(32), 0, number, tuple(sorted(group)))
        with pytest.raises(Exception, match="only its halves by name, without drop-outs"):
            may_follow([opened], later, len(group))
    for number, half in enumerate(groups(whole.cohort), 1):
        may_follow([opened], Attempt(bytes(32), 0, number, half), len(half))
        with pytest.raises(Exception, match="only its halves by name, without drop-outs"):
            may_follow([opened], Attempt(bytes(32), 0, number, half), len(half) - 1)


def test_halves_and_the_whole_together_give_no_leaf_away() -> None:
    """Every combination of sums over nodes of the tree counts the sites of one leaf equally often."""
    names = tuple("1234567")
    tree = [names, *groups(names)]
    leaves = [node for node in tree if not any(set(other) < set(node) for other in tree)]
    assert sorted(itertools.chain(*leaves)) == sorted(names)
    for node, leaf in itertools.product(tree, leaves):
        assert len(set(leaf) & set(node)) in (0, len(leaf))
    assert {len(leaf) for leaf in leaves} == {2, 3}
