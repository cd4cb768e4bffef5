"""The registry of rules as a page of documentation.

python -m wardround.checker.page > docs/reference/rules.md
"""

from __future__ import annotations

from collections.abc import Iterable

from wardround.checker.rule import Rule
from wardround.checker.rules import CUTS, GROUPS, NOISE, NUMBERS, PRIVACY, ROUNDS, SUMS

_HEAD = """# Rules

What `wardround check`, `train` and every site refuse, before any data moves. Most of these mixtures would run, return
numbers, and not mean what the plan says. A refusal is one sentence that names what breaks the rule, and cites the rule.

`tests/unit/checker` shows for each rule a mixture that it alone refuses, `tests/adversarial/test_rules_of_*.py` the
leak, the wrong number or the void claim that would come of it. `python -m wardround.checker.page` writes this page.
"""

_PARTS: dict[str, tuple[str, tuple[Rule, ...]]] = {
    "Rounds": ("Can the sites of a round carry out what the plan asks of them?", ROUNDS),
    "Numbers": ("Does each stage understand what the one before it gives?", NUMBERS),
    "Sums": ("Does the sum mean what the plan says, and who may read it?", SUMS),
    "Groups": ("Where masks cancel within groups: do their sums hide what the plan says, and who judges them?", GROUPS),
    "Noise": ("Is the noise worth the (ε, δ) that is claimed for it?", NOISE),
    "Privacy": ("Does everything around the noise leave the claim true?", PRIVACY),
    "Cuts": ("Where the network is cut: who holds which role, and what passes by the protections?", CUTS),
}


def page() -> str:
    """Return the page as Markdown."""
    return "\n".join([_HEAD, *(line for part in _PARTS.items() for line in _table(part[0], *part[1]))])


def _table(heading: str, question: str, rules: Iterable[Rule]) -> list[str]:
    rows = [f"| `{rule.name}` | {rule.reason}. | {rule.remedy}. |" for rule in rules]
    return [f"## {heading}", "", question, "", "| rule | why | instead |", "|---|---|---|", *rows, ""]


if __name__ == "__main__":
    print(page(), end="")
