"""``wardround`` as a process that notes the digest of every frame that a site sends, and where it belongs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence

from wardround.cli.main import main
from wardround.core.codec import Message
from wardround.fabric.base import Answer, Body
from wardround.fabric.workers import WorkerFabric

NOTES = "WARDROUND_TEST_NOTES"
PLACE = ("round", "attempt", "part")

_gather = WorkerFabric.gather


def noting(self: WorkerFabric, sites: Sequence[str], op: str, body: Body, timeout_s: float | None) -> Iterator[Answer]:
    """Pass on what a fabric gathers, and note the frames in it."""
    for answer in _gather(self, sites, op, body, timeout_s):
        if op == "upload" and answer.message is not None:
            fields = (body if isinstance(body, Message) else body[answer.site]).fields
            digest = hashlib.sha256(answer.message.tensors["frame"].tobytes()).hexdigest()
            note = {"pid": os.getpid(), "site": answer.site, **{key: fields[key] for key in PLACE}, "digest": digest}
            with open(os.environ[NOTES], "a", encoding="utf-8") as notes:
                notes.write(json.dumps(note) + "\n")
        yield answer


if __name__ == "__main__":
    WorkerFabric.gather = noting  # type: ignore[method-assign]
    main()
