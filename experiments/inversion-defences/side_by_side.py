"""The searches of ``idlg`` and ``inverting-gradients`` for several images at once, each seen in one round or several.

They do what the product's attacks do, image by image, and go through the network side by side, which costs a third of
the time. Seen in several rounds, one candidate has to explain every update of its image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Condition, Thread

import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap

from wardround.attacks.inversion.base import Stopwatch, first_guesses
from wardround.attacks.inversion.deep_leakage import DeepLeakage
from wardround.attacks.inversion.descent import descend
from wardround.attacks.inversion.inverting_gradients import InvertingGradients
from wardround.attacks.inversion.observation import Observation
from wardround.attacks.inversion.priors import total_variation

Distances = Callable[[torch.Tensor], torch.Tensor]
"""Candidates ``(N, C, H, W)``, one for each image, to the distance of each from what was seen of it, ``(N,)``."""


def distances(
    seen: Sequence[Sequence[Observation]], labels: torch.Tensor, skips_zeros: bool, cosine: bool
) -> Distances:
    """Return the distances of updates, as a mean over the rounds.

    Args:
        seen: of each image, what was seen in each round; every image in the same rounds.
        labels: int64 ``(N,)``.
        skips_zeros: leave out what a defence set to zero in that round.
        cosine: one minus the cosine; else the squared distance as a share of what was seen.
    """
    network = seen[0][0].network
    stacked, _ = stack_module_state([one.network for one in seen[0]])  # type: ignore[no-untyped-call]
    weights = {name: value.detach() for name, value in stacked.items()}
    target = torch.stack([torch.stack([_flat(one.gradient, weights) for one in rounds]) for rounds in seen])
    kept = (target != 0) if skips_zeros else torch.ones_like(target, dtype=torch.bool)
    lengths = target.pow(2).sum(2).clamp_min(torch.finfo(target.dtype).tiny)

    def loss_of(values: dict[str, torch.Tensor], image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(functional_call(network, values, (image[None],)), label[None])

    def implied(values: dict[str, torch.Tensor], image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return _flat(grad(loss_of)(values, image, label), weights)

    every = vmap(vmap(implied, (0, None, None)), (None, 0, 0))

    def far(images: torch.Tensor) -> torch.Tensor:
        slopes = every(weights, images, labels) * kept
        if not cosine:
            return ((slopes - target).pow(2).sum(2) / lengths).mean(1)
        return (1 - (slopes * target).sum(2) / (slopes.pow(2).sum(2) * lengths).sqrt()).mean(1)

    return far


def _flat(values: Mapping[str, torch.Tensor], names: Iterable[str]) -> torch.Tensor:
    return torch.cat([values[name].flatten() for name in names])


def guesses(seen: Sequence[Observation], seed: int) -> torch.Tensor:
    """Return a first guess for each image, ``(N, C, H, W)``, each from a seed of its own."""
    spread = DeepLeakage().spread
    return torch.cat([first_guesses(one, seed + place, 1, spread)[0] for place, one in enumerate(seen)])


def signed(seen: Observation, far: Distances, start: torch.Tensor, steps: int) -> torch.Tensor:
    """Descend by signed Adam with total variation, as `InvertingGradients` does; ``(N, C, H, W)``."""
    spec = InvertingGradients()

    def objective(group: torch.Tensor) -> torch.Tensor:
        return far(group[:, 0]) + spec.smoothness * total_variation(group)

    clock = Stopwatch(spec.budget)
    return descend(seen, start[:, None], objective, steps, spec.learning_rate, clock, spec.signed)[1][:, 0]


def lbfgs(far: Distances, start: torch.Tensor, evaluations: int) -> torch.Tensor:
    """Search by L-BFGS with strong Wolfe conditions, as `DeepLeakage` does, for each image by itself; ``(N, C, H, W)``.

    Each search is a thread. They meet at every evaluation, which is made for all of them together.
    """
    meeting = _Meeting(far, start)
    searches = [Thread(target=_search, args=(meeting, place, evaluations)) for place in range(len(start))]
    for search in searches:
        search.start()
    for search in searches:
        search.join()
    if meeting.error is not None:
        raise meeting.error
    return meeting.best


def _search(meeting: _Meeting, place: int, evaluations: int) -> None:
    fed = meeting.best[place].clone().requires_grad_()
    search = torch.optim.LBFGS(
        [fed],
        max_iter=evaluations,
        max_eval=evaluations,
        history_size=DeepLeakage().history,
        line_search_fn="strong_wolfe",
        tolerance_grad=0,
        tolerance_change=0,
    )

    def evaluate() -> torch.Tensor:
        distance, fed.grad = meeting.ask(place, fed.detach().clone())
        return distance

    try:
        search.step(evaluate)  # type: ignore[no-untyped-call]
    except _Over:
        return
    finally:
        meeting.leave()


class _Over(Exception):
    """The evaluation failed in another thread."""


class _Meeting:
    """Where searches wait for each other, and the nearest candidate of each."""

    def __init__(self, far: Distances, start: torch.Tensor) -> None:
        self._far = far
        self._condition = Condition()
        self._searching = len(start)
        self._asked: dict[int, torch.Tensor] = {}
        self._answers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._latest = start.clone()
        self._least = torch.full((len(start),), torch.inf)
        self.best = start.clone()
        self.error: Exception | None = None

    def ask(self, place: int, candidate: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a candidate's distance and slope once every search has asked for one."""
        with self._condition:
            self._asked[place] = candidate
            self._answer_if_all_are_here()
            self._condition.wait_for(lambda: place in self._answers or self.error is not None)
            if self.error is not None:
                raise _Over
            return self._answers.pop(place)

    def leave(self) -> None:
        """Say that a search is over."""
        with self._condition:
            self._searching -= 1
            self._answer_if_all_are_here()

    def _answer_if_all_are_here(self) -> None:
        if not self._asked or len(self._asked) < self._searching:
            return
        for place, candidate in self._asked.items():
            self._latest[place] = candidate
        try:
            fed = self._latest.clone().requires_grad_()
            found = self._far(fed)
            (slopes,) = torch.autograd.grad(found.sum(), fed)
        except Exception as error:  # to the thread that started the searches
            self.error = error
            self._condition.notify_all()
            return
        nearer = found.detach() < self._least
        self._least[nearer], self.best[nearer] = found.detach()[nearer], self._latest[nearer]
        self._answers |= {place: (found[place].detach(), slopes[place]) for place in self._asked}
        self._asked.clear()
        self._condition.notify_all()
