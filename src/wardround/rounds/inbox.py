"""One round's answers, sorted into updates and failures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from wardround.core.update import Tensors, Update
from wardround.errors import WireError
from wardround.fabric.base import Answer
from wardround.ledger.records import DIGEST
from wardround.ledger.use_tree import MAX_IMAGES
from wardround.privacy import Event
from wardround.protect.compact import Compact
from wardround.protect.outgoing import incoming
from wardround.rounds.checks import MOST_EXAMPLES, check_against, shown
from wardround.rounds.digests import digest_of
from wardround.rounds.events import events_of
from wardround.rounds.guarantee import Guarantee
from wardround.rounds.listener import Listener

_KEPT = ("num_examples", "loss", "last_loss", "seconds", "remembers", "cut", "use_root", "use_count")


@dataclass
class Inbox:
    """Sorts one round's answers into updates and failures, while the aggregator streams through them.

    Attributes:
        round: the round that is asked for.
        template: what was broadcast; an update has its names, shapes and dtypes.
        listener: is told of each answer.
        compact: the form in which updates travel, where that is not as tensors.
        guarantee: what noise the plan asks for; ``None`` where it claims nothing.
        accepted: site -> what `RoundRecord.accepted` says of it.
        failed: site -> why its answer does not count.
        refused: site -> what `accepted` said of an update that was judged and left out; the reason is in `failed`.
        bytes_up: bytes of the accepted updates.
        spent: site -> noise that it says it added, one event for each.
    """

    round: int
    template: Tensors
    listener: Listener
    compact: Compact | None = None
    guarantee: Guarantee | None = None
    accepted: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    refused: dict[str, dict[str, Any]] = field(default_factory=dict)
    bytes_up: int = 0
    spent: dict[str, tuple[Event, ...]] = field(default_factory=dict)

    def updates(self, answers: Iterable[Answer]) -> Iterator[Update]:
        """Yield the good updates, in the order of the answers."""
        for answer in answers:
            try:
                update = self._read(answer)
            except WireError as error:
                self.failed[answer.site] = str(error)
            else:
                yield update
            self.listener.answered(self.round, answer.site, self.failed.get(answer.site))

    def refuse(self, reasons: Mapping[str, str]) -> None:
        """Count updates that were read as failures; the bytes that they took stay counted."""
        for site, reason in reasons.items():
            self.refused[site] = self.accepted.pop(site)
            self.failed[site] = reason

    def _read(self, answer: Answer) -> Update:
        if answer.message is None:
            raise WireError(answer.failure or "the site gave no answer")
        fields, tensors = answer.message.fields, answer.message.tensors
        if type(fields.get("round")) is not int or fields["round"] != self.round:
            raise WireError(f"the answer is for round {shown(fields.get('round'))}, not for round {self.round}")
        for key, kind in (("num_examples", int), ("loss", float), ("seconds", float), ("remembers", bool)):
            if type(fields.get(key)) is not kind:
                raise WireError(f"the answer's {key} is {shown(fields.get(key))}, which is no {kind.__name__}")
        if not 0 < fields["num_examples"] <= MOST_EXAMPLES:
            raise WireError(f"the answer's num_examples is not between 1 and {MOST_EXAMPLES}")
        if type(fields.get("last_loss", 0.0)) is not float:
            raise WireError(f"the answer's last_loss is {shown(fields['last_loss'])}, which is no float")
        if not all(math.isfinite(fields.get(key, 0.0)) for key in ("loss", "last_loss", "seconds")):
            raise WireError("the answer's loss or seconds are not finite")
        if "cut" in fields and not (type(fields["cut"]) is float and 0 <= fields["cut"] <= 1):
            raise WireError(f"the answer's cut is {shown(fields['cut'])}, which is no share")
        spent = events_of(fields.get("spent", []))
        if self.guarantee is not None:
            self.guarantee.check_told(spent)
        elif spent:
            raise WireError("the answer tells of noise in a run that adds none")
        _check_use(fields)
        sent = tensors
        if self.compact is not None:
            tensors = incoming(self.compact, sent)
        check_against(tensors, self.template)
        self.bytes_up += answer.message.size_bytes
        if spent:
            self.spent[answer.site] = spent
        self.accepted[answer.site] = {
            **{key: fields[key] for key in _KEPT if key in fields},
            "bytes": answer.message.size_bytes,
            "digest": digest_of(sent),
        }
        reported = {key: fields[key] for key in ("loss", "last_loss") if key in fields}
        return Update(answer.site, self.round, tensors, fields["num_examples"], reported)


def _check_use(fields: Mapping[str, Any]) -> None:
    if not {"use_root", "use_count"} & set(fields):
        return
    root, count = fields.get("use_root"), fields.get("use_count")
    if not DIGEST.allows(root) or type(count) is not int or not 0 <= count <= MAX_IMAGES:
        raise WireError(f"the answer's list of used images is {shown(root)} with {shown(count)} images, which is none")
