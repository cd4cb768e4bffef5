"""All mixtures of up to five stages through the checker; what it accepts, executed against a plain reference."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import engine_mixtures
import mixtures
import pytest
import sampled_mixtures as sampled

from wardround.checker import RULES

pytestmark = pytest.mark.slow

LONGER_SAMPLES = 2000
SHORTER_SAMPLES = 1000


def test_every_mixture_of_up_to_five_stages_is_judged_by_the_grammar() -> None:
    count, accepted, cited = 0, set(), Counter()
    for word in mixtures.words(5):
        for aggregator, screen in mixtures.JUDGES:
            count += 1
            mixture = mixtures.mixture_of(word, aggregator, screen)
            # The first refusal is the one that is told; looking for the others would take an hour.
            rule = next((rule.name for rule in RULES.values() if rule.broken_by(mixture)), "")
            if rule:
                cited[rule] += 1
            else:
                accepted.add((word, aggregator, screen))
    assert count > 4_000_000
    assert accepted == mixtures.sound(5)
    assert len(accepted) + cited.total() == count
    assert cited.keys() <= RULES.keys()
    print(f"{count} mixtures, {len(accepted)} accepted; refused by {dict(cited.most_common())}")


def test_every_mixture_in_groups_is_judged_by_the_grammar() -> None:
    """Of up to four stages, and those of five that end in masks: no other word of five can be sound."""
    words = [*mixtures.words(4), *(word for word in mixtures.words(5) if len(word) == 5 and word.endswith("qm"))]
    accepted = set()
    for word in words:
        for aggregator, screen in mixtures.JUDGES:
            mixture = mixtures.mixture_of(word, aggregator, screen, grouped=True)
            if not any(rule.broken_by(mixture) for rule in RULES.values()):
                accepted.add((word, aggregator, screen))
    assert len(words) > 40_000
    assert accepted == mixtures.sound_in_groups(5)
    assert max(len(word) for word, _, _ in accepted) == 5


@pytest.mark.parametrize("word", sorted({word for word, _, _ in mixtures.sound(3)}))
def test_every_accepted_mixture_of_up_to_three_stages_trains_what_it_says(tmp_path: Path, word: str) -> None:
    judged = [each for each in sorted(mixtures.sound(3)) if each[0] == word]
    assert judged
    for each in judged:
        engine_mixtures.held_against_reference(*each, tmp_path)


@pytest.mark.parametrize(("longer_than", "count"), [(3, LONGER_SAMPLES), (0, SHORTER_SAMPLES)])
def test_samples_with_drawn_settings_compute_what_they_say(longer_than: int, count: int) -> None:
    samples = [sampled.draw(seed, longer_than) for seed in sampled.seeds(1000, count)]
    for sample in samples:
        sampled.held_against_reference(sample)
    if longer_than:
        assert {sample.word for sample in samples} == {word for word, _, _ in mixtures.sound(5) if len(word) > 3}
    assert sampled.letters(samples) == set("".join(word for word, _, _ in mixtures.sound(5) if len(word) > longer_than))
