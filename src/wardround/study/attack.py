"""Measures what a plan's updates give away: attacks what its coordinator sees, and scores it against the images."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wardround.attacks import ATTACKS, Attack, Leak, leaks
from wardround.attacks.inversion.base import Learner, Reconstruction
from wardround.attacks.inversion.cleanup import CleanUp
from wardround.attacks.wiretap import Sighting, Wiretap, sightings
from wardround.core.context import RoundContext
from wardround.data.images import LabelledImages
from wardround.data.sites import SiteData
from wardround.errors import PlanError
from wardround.fabric.local import LocalFabric
from wardround.metrics.image_quality import WINDOW_PX
from wardround.rounds.listener import Listener, Silent
from wardround.rounds.model_file import MODEL_FILE
from wardround.rounds.plan import Plan
from wardround.study.attack_folder import VICTIM, AttackFolder
from wardround.study.attacker import POOL, in_unit, learned_clean_ups, public_images
from wardround.study.build import opener_for, sites_of, task_of
from wardround.study.folder import RunFolder
from wardround.study.run import run_plan, train
from wardround.study.simulation import introduce_sites
from wardround.study.spec import to_table
from wardround.tasks import Classify
from wardround.tasks.start import Start

RESULT_FILE = "attack.json"
FORMAT_VERSION = 1
LARGEST_UPDATE = 64
TRAINED = "trained"


@dataclass(frozen=True)
class Assault:
    """What is attacked, and how hard.

    Attributes:
        attack: name from `ATTACKS`.
        images: what an update is made of: one step of plain SGD on this many images, which is the most that an update
            can give away; 0 leaves the plan's local work as it is.
        after: rounds that are trained before; 0 attacks the first round.
        updates: how many updates are attacked.
        steps: of the attack's search, in each restart; 0 takes the attack's own number.
        seconds: for each update; 0 sets no limit.
        seed: of the attack.
    """

    attack: str = "idlg"
    images: int = 1
    after: int = 0
    updates: int = 8
    steps: int = 0
    seconds: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        if self.attack not in ATTACKS:
            raise PlanError(f"--attack {self.attack} is unknown: choose from {', '.join(ATTACKS)}")
        if self.images < 0 or self.after < 0 or self.updates < 1 or self.steps < 0 or self.seconds < 0:
            raise PlanError("an attack's numbers start at 0, and --updates at 1")

    def mounted(self, public: LabelledImages) -> Attack:
        """Return the attack with its budget, and with what it learns from public images."""
        attack: Any = ATTACKS[self.attack]
        if isinstance(attack, Learner):
            attack = attack.taught(public, self.seed)
        budget = dataclasses.replace(attack.budget, steps=self.steps or attack.budget.steps, seconds=self.seconds)
        mounted: Attack = dataclasses.replace(attack, budget=budget)
        return mounted


@dataclass(frozen=True, eq=False)
class Attacked:
    """One update after the attack.

    Attributes:
        sighting: what was seen.
        found: what was made of it.
        leaks: one for each image behind the update.
    """

    sighting: Sighting
    found: Reconstruction
    leaks: list[Leak]


@dataclass(frozen=True, eq=False)
class AttackResult:
    """What an attack on a plan came to.

    Attributes:
        plan: that was attacked.
        assault: how.
        attacked: update by update.
        public: whether the images are published.
    """

    plan: Plan
    assault: Assault
    attacked: list[Attacked]
    public: bool

    @property
    def leaks(self) -> list[tuple[str, Leak]]:
        """For each image: whose update in which round it was in, and what became of it."""
        return [
            (f"round {one.sighting.round}, {' + '.join(one.sighting.sites)}", leak)
            for one in self.attacked
            for leak in one.leaks
        ]

    @property
    def setting(self) -> list[str]:
        """What was attacked and how, one sentence each."""
        seen, made_of = self.attacked[0].sighting.seen, self.attacked[0].sighting.seen.num_images
        whose = "one site's update" if len(seen.shares) == 1 else f"the sum of {len(seen.shares)} sites' updates"
        protections = ", ".join(link.name for link in self.plan.pipeline.links) or "none"
        trained = f"after {self.assault.after} rounds of training" if self.assault.after else "from its first round on"
        chosen = to_table(self.plan).get("defence", {"name": "none"})
        settings = ", ".join(f"{key} = {value}" for key, value in chosen.items() if key != "name")
        defence = f"{chosen['name']} ({settings})" if settings else chosen["name"]
        worst = "The local work was replaced by one step of plain SGD, the most that an update can give away."
        return [
            f"The attack {self.assault.attack} was given {whose} at a time, made of {made_of} images in "
            f"{seen.work.steps} local steps, {trained}, and the network. It was not given labels.",
            f"Protections of the plan: {protections}. Defence: {defence}.",
            *([worst] if self.assault.images else []),
            f"It took {np.mean([one.found.seconds for one in self.attacked]):.0f} seconds an update.",
        ]

    def described(self) -> dict[str, Any]:
        """Return the numbers as JSON; no pixel is in them."""
        return {
            "format": FORMAT_VERSION,
            "plan": self.plan.name,
            "digest": self.plan.digest(),
            "attack": dataclasses.asdict(self.assault),
            "updates": [
                {
                    "round": one.sighting.round,
                    "sites": list(one.sighting.sites),
                    "images": one.sighting.seen.num_images,
                    "distance": one.found.distance if np.isfinite(one.found.distance) else None,
                    "evaluations": one.found.evaluations,
                    "seconds": round(one.found.seconds, 3),
                    "leaks": [_numbers(leak) for leak in one.leaks],
                }
                for one in self.attacked
            ],
        }


def victim_of(plan: Plan, assault: Assault, start: Start | None) -> Plan:
    """Return the plan whose updates are attacked: the same protections, from the weights that were trained before."""
    training = plan.training
    if assault.images:
        training = dataclasses.replace(
            training,
            steps=1,
            batch_size=assault.images,
            optimiser="sgd",
            momentum=0.0,
            weight_decay=0.0,
            schedule="constant",
            augment="none",
            keep_optimiser=False,
        )
    return dataclasses.replace(
        plan,
        rounds=assault.updates + plan.pipeline.sums_frames,
        training=training,
        evaluation=dataclasses.replace(plan.evaluation, every=0, bootstrap=0),
        start=start or plan.start,
    )


def attack(
    plan: Plan,
    assault: Assault,
    out: Path,
    data_root: Path | None = None,
    listener: Listener | None = None,
    workers: int | None = None,
    tell: Callable[[int, int, Attacked], None] = lambda *_: None,
    resume: bool = False,
) -> AttackResult:
    """Attack a plan, and write ``attack.json``. What is done of it is kept, so that it may be stopped.

    Args:
        plan: whose updates are attacked.
        assault: how.
        out: a folder that does not exist yet, or holds nothing.
        data_root: where sources look for their files.
        listener: is told of the training before the attack.
        workers: processes of that training; see `study.run.train`.
        tell: is told of each update that was attacked: its number, of how many, and what came out.
        resume: go on with an attack that was stopped. The victim's run is listened to again; where its defence draws
            from the system, updates that are done keep the draw they had.

    Raises:
        PlanError: there is nothing for this attack to see, or it is beyond it.
        RunFolderError: see `AttackFolder.begin`.
    """
    plan.check()
    if not isinstance(plan.learns, Classify):
        raise PlanError("these attacks undo the cross-entropy of classes: name a plan that classifies")
    folder = AttackFolder(out, RESULT_FILE)
    folder.begin({"plan": plan.digest(), "attack": dataclasses.asdict(assault)}, resume)
    start = _trained(plan, assault, out, data_root, listener or Silent(), workers, resume) if assault.after else None
    victim = victim_of(plan, assault, start)
    sites = sites_of(victim, data_root)
    if min(next(iter(sites.values())).train.shape[:2]) < WINDOW_PX:
        raise PlanError(f"images below {WINDOW_PX} px are smaller than the window of SSIM: set a larger data.size_px")
    seen = _listen(victim, sites, assault.updates, out / VICTIM, data_root)
    attacked: list[Attacked] = []
    public = public_images(sites)
    mounted, clean_ups = assault.mounted(public), learned_clean_ups(victim, sites, public, seen[0], assault.seed)
    mean = in_unit(public, np.arange(len(public))).mean(0)
    for number, sighting in enumerate(seen):
        found = folder.kept(number)
        if found is None:
            found = mounted.run(sighting.seen, assault.seed + number)
            folder.keep(number, found)
        attacked.append(Attacked(sighting, found, _scored(victim, sites, sighting, found, mean, clean_ups)))
        tell(len(attacked), len(seen), attacked[-1])
    result = AttackResult(plan, assault, attacked, next(iter(sites.values())).train.public)
    folder.end(result.described())
    return result


_LIKENESSES = ("of_raw", "of_best", "of_mean", "of_coarse")


def _numbers(leak: Leak) -> dict[str, Any]:
    likenesses = {name: dataclasses.asdict(getattr(leak, name)) for name in _LIKENESSES}
    return {**likenesses, "clean_up": leak.clean_up, "rank": leak.rank, "pool": leak.pool}


def _trained(
    plan: Plan,
    assault: Assault,
    out: Path,
    data_root: Path | None,
    listener: Listener,
    workers: int | None,
    resume: bool,
) -> Start:
    if plan.pipeline.opens_at_sites:
        raise PlanError('the model stays at the sites: say open_at = "coordinator" to attack what its coordinator sees')
    before = dataclasses.replace(plan, rounds=assault.after)
    again = resume and (out / TRAINED).exists()
    run = train(before, out / TRAINED, data_root, again, workers, listener=listener)
    model = (run / MODEL_FILE).absolute()
    return Start(str(model), hashlib.sha256(model.read_bytes()).hexdigest())


def _listen(
    victim: Plan, sites: dict[str, SiteData], updates: int, folder: Path, data_root: Path | None
) -> list[Sighting]:
    stores = RunFolder(folder).store_root
    if victim.needs_keys:
        introduce_sites(stores, sites)
    tap = Wiretap(LocalFabric(list(sites), opener_for(victim, sites, stores, data_root), encoded=True))
    try:
        run_plan(victim, tap, folder, False, Silent(), data_root)
    finally:
        tap.close()
    task, size = task_of(victim, sites), next(iter(sites.values())).train.shape[:2]
    seen = [one for index in range(updates) for one in sightings(victim, task, size, tap, index)][:updates]
    largest = max(one.seen.num_images for one in seen)
    if largest > LARGEST_UPDATE:
        raise PlanError(
            f"an update over {largest} images is beyond these attacks, which were built for {LARGEST_UPDATE} at most: "
            "that says nothing about its privacy; --images 1 measures the worst case"
        )
    return seen


def _scored(
    victim: Plan,
    sites: dict[str, SiteData],
    sighting: Sighting,
    found: Reconstruction,
    mean: np.ndarray,
    clean_ups: dict[str, CleanUp],
) -> list[Leak]:
    true: list[np.ndarray] = []
    pools: list[np.ndarray] = []
    places: list[np.ndarray] = []
    for site in sighting.sites:
        images = sites[site].train
        rows = np.concatenate(list(victim.training.batches(len(images), _context(victim, sighting, sites, site))))
        pool = np.union1d(rows, np.arange(min(POOL, len(images))))
        places.append(np.searchsorted(pool, rows) + sum(len(earlier) for earlier in pools))
        pools.append(in_unit(images, pool))
        true.append(in_unit(images, rows))
    return leaks(found.images, np.concatenate(true), mean, np.concatenate(pools), np.concatenate(places), clean_ups)


def _context(victim: Plan, sighting: Sighting, sites: dict[str, SiteData], site: str) -> RoundContext:
    trainers = tuple(name for name in sorted(sites) if len(sites[name].train))
    return RoundContext(victim.seed, sighting.round, victim.rounds, trainers, len(trainers), site)
