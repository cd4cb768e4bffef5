"""What an attacker has beside what crosses the wire: public images, and what it learns from them of a defence."""

from __future__ import annotations

import numpy as np

from wardround.attacks.inversion.cleanup import CleanUp
from wardround.attacks.inversion.knowing import knowing, pairs_behind, undoing
from wardround.attacks.wiretap import Sighting
from wardround.core.context import RoundContext
from wardround.data.images import LabelledImages
from wardround.data.sites import SiteData
from wardround.rounds.plan import Plan
from wardround.study.build import joined, task_of

POOL = 500
MOST_PUBLIC = 600
OWN_SEED = 1 << 62


def public_images(sites: dict[str, SiteData]) -> LabelledImages:
    """Return validation images, which no update in the run is made of: what an attacker may have of the kind."""
    parts = [data.val if len(data.val) else data.test for data in sites.values()]
    return joined([part.take(np.arange(min(POOL, len(part)))) for part in parts if len(part)])


def learned_clean_ups(
    victim: Plan, sites: dict[str, SiteData], public: LabelledImages, sighting: Sighting, seed: int
) -> dict[str, CleanUp]:
    """Return the clean-ups of an attacker who knows the plan's defence; none where images are fed as they are.

    Args:
        victim: whose updates are attacked.
        sites: of the plan, for its classes.
        public: what is put behind the defence.
        sighting: the first one: the network, and how far the run is.
        seed: of the attack. The plan's own is not used, so that the draw is another one.
    """
    if victim.defence is None or not victim.defence.disguises:
        return {}
    rows = np.random.default_rng(seed).permutation(len(public))[:MOST_PUBLIC]
    ctx = RoundContext(OWN_SEED + seed, sighting.round, victim.rounds, (), 0)
    task, network = task_of(victim, sites), sighting.seen.network
    pairs = pairs_behind(victim.defence, task, network, public.take(rows), ctx)
    return {**knowing(pairs, seed), **undoing(victim.defence)}


def in_unit(images: LabelledImages, rows: np.ndarray) -> np.ndarray:
    """Return these rows of `images`, float32 ``(len(rows), H, W, C)`` in ``[0, 1]``."""
    return images.batch(rows).astype(np.float32) / 255
