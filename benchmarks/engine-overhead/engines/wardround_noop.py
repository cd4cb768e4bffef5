"""The no-op job as a site and a coordinator of wardround, for any of its fabrics."""

from __future__ import annotations

import noop
import numpy as np

from wardround.core.codec import Message
from wardround.fabric.base import Fabric, Handler
from wardround.fabric.local import Opener


class NoopSite:
    """A site that does nothing."""

    def handle(self, op: str, body: Message) -> Message:
        """Answer any operation."""
        return Message({}, {"array": noop.work(body.tensors["array"])})


def open_noop(*_: object) -> Handler:
    """Open a site; takes and ignores what the FLARE fabric hands over."""
    return NoopSite()


def make_opener() -> Opener:
    """Return what opens a site, in a worker process."""
    return open_noop


def coordinate_on(fabric: Fabric) -> None:
    """Run the job over a fabric."""

    def ask_all(array: np.ndarray) -> list[np.ndarray]:
        answers = fabric.gather(fabric.sites(), "echo", Message({}, {"array": array}), 60.0)
        return [answer.message.tensors["array"] for answer in answers if answer.message is not None]

    noop.coordinate(ask_all)


def run_on_flare(plan_json: str, fabric: Fabric, run_folder: str, resume: bool) -> None:
    """Run the job in FLARE's server process; the entry point of `NoopCoordinatorApp`."""
    coordinate_on(fabric)
