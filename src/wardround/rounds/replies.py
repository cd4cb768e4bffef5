"""What a site answered under differential privacy: asked again, it sends the same bytes, for noise is drawn once."""

from __future__ import annotations

import numpy as np

from wardround.core.codec import Message, decode, encode
from wardround.errors import SiteError, WireError
from wardround.rounds.store import SiteStore

_CAUSE, _FRAME = "cause", "frame"


class Replies:
    """The last answers with an update in the clear, on disk.

    Noise that is drawn anew is a new release and costs epsilon again; an average over several hides nobody.
    """

    def __init__(self, store: SiteStore) -> None:
        self._store = SiteStore(store.folder, "reply")

    def read(self, round_index: int, cause: str) -> Message | None:
        """Return the answer of a round, if it was made from `cause`; else ``None``."""
        try:
            held = self._store.read(round_index)
            if held[_CAUSE].tobytes().decode() != cause:
                return None
            return decode(held[_FRAME].tobytes())
        except (SiteError, WireError, KeyError, UnicodeDecodeError):
            return None

    def keep(self, round_index: int, cause: str, answer: Message) -> None:
        """Keep an answer before it is sent; it is on the disk when this returns."""
        held = {_CAUSE: np.frombuffer(cause.encode(), np.uint8), _FRAME: np.frombuffer(encode(answer), np.uint8)}
        self._store.write(round_index, held)
        self._store.forget(round_index)
