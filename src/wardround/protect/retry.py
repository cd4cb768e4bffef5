"""Which attempts of one round may be opened one after the other without giving a single site away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wardround.errors import SiteError
from wardround.protect.attempt import Attempt, SurvivorList

SMALLEST_GROUP = 2


@dataclass(frozen=True)
class Signed:
    """A list that a site signed, and whether it gave its shares for it."""

    listed: SurvivorList
    released: bool


def groups(survivors: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the groups into which a voided sum may be bisected: its halves by name, their halves, and so on.

    A group that cannot be cut into two of at least 2 sites is not cut, so the smallest groups have 2 or 3 sites.
    """
    middle = len(survivors) // 2
    if middle >= SMALLEST_GROUP:
        for half in (tuple(survivors[:middle]), tuple(survivors[middle:])):
            yield half
            yield from groups(half)


def may_follow(signed: Sequence[Signed], attempt: Attempt, threshold: int) -> None:
    """Refuse a later attempt of a round that could, with what was opened before, give a single site away.

    A *family* is a list of survivors and those of its `groups` that were signed after it. Judged by the last family:

    1. a group of its first list may follow, if its threshold is all of the group: nobody may drop out of it;
    2. any other cohort may follow if this site released nothing in the family, and the cohort leaves out at most
       n − t of the sites on each of its lists. A list signed in such an attempt begins a new family.

    Besides, a site signs and releases only in its latest attempt, and signs only after every peer's offer in that
    attempt arrived (`wardround.protect.commitment` sees to both).

    *Claim.* Let c < 2t − n sites side with the coordinator, in every attempt. Two opened lists that share an honest
    site are then groups of one another. Hence all sums opened in a round are sums over leaves of fixed trees, without
    a common honest site, and no combination of them tells more than the sums over leaves: of 2 or 3 sites each.

    *Proof.* Let list A be opened, and B in a later attempt with cohort C; honest site i is on both. An honest site
    that released for A never gets past rule 2 again: all its later cohorts are groups of one tree, with A. If such a
    site is in C, then B = C by rule 1, and A and B, which share i, are nested in that tree. Otherwise those who
    released for A are outside C or dishonest. Had i judged C by rule 1, A and B were nested in its tree; so it was
    rule 2, and if A was in the family, at most n − t of A are outside C: fewer than n − t + c < t released for A,
    a contradiction or the case before. If A was in an older family of i, then i signed in between in an attempt with
    cohort D by rule 2. For the same reason D has a member who released for A; so D is a node of a tree with A, all of
    D had to survive, and D contains A, since groups of A are i's rule 1. From then on A is a node in the tree of i's
    family (D and its groups), or all of D, and so of A, is in C by rule 2 with t = n; both cases were dealt with.

    Groups that the coordinator chooses would not do: after {1…6}, the groups {1, 2} and {3, 4, 5} are disjoint and
    leave out at least 2 each, but together they give site 6 away, and no single site sees both.

    What bisecting costs is plain: next to one site on the coordinator's side, a leaf hides one or two sites among
    each other. A plan that fears this more than a voided round does not bisect.

    Args:
        signed: what the site signed in this round, oldest first.
        attempt: the later attempt.
        threshold: of that attempt.

    Raises:
        SiteError: the attempt may not follow.
    """
    family = _family(signed)
    if not family or _is_group(family[0].listed, attempt, threshold):
        return
    for one in family:
        if one.released:
            raise SiteError(
                "a sum of this round was opened: only its halves by name, without drop-outs, may be opened after it"
            )
        left_out = len(set(one.listed.survivors) - set(attempt.cohort))
        if left_out > len(one.listed.attempt.cohort) - one.listed.threshold:
            raise SiteError(
                f"this attempt leaves out {left_out} sites of a signed list, which others may have opened without them"
            )


def _is_group(root: SurvivorList, attempt: Attempt, threshold: int) -> bool:
    return threshold == len(attempt.cohort) and attempt.cohort in groups(root.survivors)


def _family(signed: Sequence[Signed]) -> list[Signed]:
    family: list[Signed] = []
    for one in signed:
        if not (family and _is_group(family[0].listed, one.listed.attempt, one.listed.threshold)):
            family.clear()
        family.append(one)
    return family
