"""Which stage may follow which: each must understand what the one before it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from wardround.checker.contract import Contract, Norm, Numbers, Picks
from wardround.checker.mixture import Mixture
from wardround.checker.rule import Rule


def _misfit(reaching: Numbers) -> Callable[[Mixture], Sequence[str]]:
    def broken_by(mixture: Mixture) -> Sequence[str]:
        found = enumerate(mixture.passages())
        return [_place(mixture, i) for i, (n, link) in found if n is reaching and n not in link.contract.takes]

    return broken_by


def _place(mixture: Mixture, index: int) -> str:
    name = mixture.stages[index].name
    return f"{name} after {mixture.stages[index - 1].name}" if index else f"{name} as the first stage"


def _twice(mixture: Mixture) -> Iterator[str]:
    alike: dict[str, Callable[[Contract], bool]] = {
        "bound the norm": lambda contract: contract.norm is Norm.BOUNDS,
        "pick coordinates": lambda contract: contract.picks_coordinates is not Picks.ALL,
        "add noise": lambda contract: contract.noise is not None,
    }
    for what, holds in alike.items():
        names = [link.name for link in mixture.stages if holds(link.contract)]
        if len(names) > 1:
            yield f"{' and '.join(names)} both {what}"


NUMBERS = (
    Rule(
        "integers-needed",
        "it works on integers, and real numbers would stay visible under masks or not fit into ciphertexts",
        "put a quantise stage before it",
        _misfit(Numbers.REAL),
    ),
    Rule(
        "reals-needed",
        "it works on real numbers, and would change integers on the sites' common grid into something else",
        "remove the quantise stage, or put it after",
        _misfit(Numbers.INTEGER),
    ),
    Rule(
        "codes-are-last",
        "int8 codes count in units of each site's own, in which nothing further can be reckoned",
        "remove the int8 stage, or put it last",
        _misfit(Numbers.CODES),
    ),
    Rule(
        "masks-are-last",
        "whatever changes or rounds a masked number leaves a mask that does not cancel in the sum",
        "put masks last, with nothing but a packed homomorphic stage behind them",
        _misfit(Numbers.MASKED),
    ),
    Rule(
        "encryption-is-last",
        "a ciphertext can be added to others and opened, nothing else",
        "put the homomorphic stage last",
        _misfit(Numbers.CIPHERTEXT),
    ),
    Rule(
        "one-of-a-kind",
        "only one of the two is counted where sums are tested and noise is accounted for",
        "keep one of them",
        lambda mixture: list(_twice(mixture)),
    ),
)
