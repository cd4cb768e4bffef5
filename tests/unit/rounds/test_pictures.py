"""Pictures leave a site of published images alone, and nothing in them is believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny

from wardround.core.codec import Message
from wardround.errors import WireError
from wardround.fabric.base import Answer
from wardround.rounds.assessment import Reader
from wardround.rounds.pictures import by_place

PLAN = tiny.segmenting()
BENCH = tiny.make_bench(PLAN)
READER = Reader(BENCH.task, 0, 0, 1)
Tensors = dict[str, np.ndarray]


def answer(tmp_path: Path, public: bool = True, part: str = "test", share: str = "auto") -> Message:
    plan = tiny.segmenting(evaluation={"share": share})
    fabric = tiny.fabric(plan, tmp_path, public=public)
    [found] = fabric.gather(("east",), "evaluate", Message({"part": part, "accepted": {}}, BENCH.initial), None)
    assert found.message is not None
    return found.message


def shown(message: Message) -> list[str]:
    return [name for name in message.tensors if name.startswith("picture/")]


def test_the_worst_the_middle_and_the_best_image_are_shown_with_their_scores(tmp_path: Path) -> None:
    message = answer(tmp_path)
    test = READER.read(Answer("east", message))["east"]
    assert set(test.pictures) == {"score", "image", "truth", "answer"}
    dice = np.sort(message.tensors["dice"])
    assert {dice[0], dice[-1]} <= set(test.pictures["score"].tolist())
    data = tiny.masked_data("east", 8).test
    rows = message.tensors["picture/rows"]
    np.testing.assert_array_equal(test.pictures["image"], data.batch(rows))
    np.testing.assert_array_equal(test.pictures["truth"][..., 0], data.mask_batch(rows))
    np.testing.assert_array_equal(test.pictures["score"], message.tensors["dice"][rows])
    pooled = by_place({"east": test, "north": replace(test, pictures={}), "west": test})
    assert set(pooled) == {f"{place}/{name}" for place in (0, 2) for name in ("score", "image", "truth", "answer")}


@pytest.mark.parametrize(
    "how", [{"public": False}, {"public": False, "share": "predictions"}, {"share": "metrics"}, {"part": "val"}]
)
def test_no_picture_leaves_a_site_whose_images_are_not_published(tmp_path: Path, how: dict[str, object]) -> None:
    message = answer(tmp_path, **how)  # type: ignore[arg-type]
    assert not shown(message)
    pixels = tiny.masked_data("east", 8).test.pixels
    assert not any(tensor.nbytes >= pixels[0].nbytes for tensor in message.tensors.values())
    if how.get("share") != "metrics" and "part" not in how:
        assert shown(answer(tmp_path / "open"))  # the control: published ones do


LIES: dict[str, Callable[[Tensors], object]] = {
    "a picture is missing": lambda t: t.pop("picture/truth"),
    "no rows": lambda t: t.pop("picture/rows"),
    "rows that are not there": lambda t: t.update({"picture/rows": np.array([0, 1, 99])}),
    "rows twice": lambda t: t.update({"picture/rows": np.array([0, 0, 1])}),
    "rows of floats": lambda t: t.update({"picture/rows": np.array([0.0, 1.0, 2.0])}),
    "more than allowed": lambda t: t.update(
        {f"picture/{n}": np.concatenate([v, v[:1]]) if n != "rows" else np.arange(4) for n, v in pictures(t).items()}
    ),
    "another kind": lambda t: t.update({"picture/image": t["picture/image"].astype(np.float32)}),
    "another shape": lambda t: t.update({"picture/image": t["picture/image"][..., 0]}),
    "another size": lambda t: t.update({"picture/image": t["picture/image"][:, :4]}),
    "too large": lambda t: t.update({f"picture/{n}": np.zeros((3, 2000, 2, 1), np.uint8) for n in BENCH.task.shows}),
    "nothing to see": lambda t: t.update({f"picture/{n}": np.zeros((3, 0, 2, 1), np.uint8) for n in BENCH.task.shows}),
    "a score that cannot be": lambda t: t.update({"dice": t["dice"] + 1.5}),
    "a score of another kind": lambda t: t.update({"dice": t["dice"].astype(np.float32)}),
}


def pictures(tensors: Tensors) -> Tensors:
    return {name.removeprefix("picture/"): value for name, value in tensors.items() if name.startswith("picture/")}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_an_answer_that_lies_is_refused(tmp_path: Path, lie: Callable[[Tensors], object]) -> None:
    message = answer(tmp_path)
    tensors = dict(message.tensors)
    READER.read(Answer("east", Message(message.fields, tensors)))
    lie(tensors)
    with pytest.raises(WireError, match="the evaluation cannot be read"):
        READER.read(Answer("east", Message(message.fields, tensors)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda fields, tensors: tensors.update(defined=np.array([9, 8, 8, 8])), "contradict"),
        (lambda fields, tensors: tensors.update(defined=np.array([8, 8, 8])), "scored images"),
        (lambda fields, tensors: tensors.update(defined=np.array([0, 8, 8, 8])), "contradict"),
        (lambda fields, tensors: tensors.pop("defined"), "defined"),
        (lambda fields, tensors: fields["metrics"].update(dice=[1.2, None, None]), "no metric between 0 and 1"),
        (lambda fields, tensors: fields["metrics"].update(hd95_px=[float("inf"), None, None]), "no metric"),
        (lambda fields, tensors: fields["metrics"].pop("iou"), "its metrics are"),
    ],
)
def test_numbers_that_lie_are_refused(
    tmp_path: Path, change: Callable[[dict[str, object], Tensors], object], words: str
) -> None:
    message = answer(tmp_path, public=False)
    fields, tensors = {**message.fields, "metrics": dict(message.fields["metrics"])}, dict(message.tensors)
    READER.read(Answer("east", Message(fields, tensors)))
    change(fields, tensors)
    with pytest.raises(WireError, match=words):
        READER.read(Answer("east", Message(fields, tensors)))
