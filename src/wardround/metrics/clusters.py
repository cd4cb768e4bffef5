"""Images of one patient or lesion belong together: a cluster, which a bootstrap draws as a whole."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Clustered:
    """What has a group for each of its N images.

    Attributes:
        groups: str ``(N,)``, the patient or lesion of each image; images that share a name are one cluster.
    """

    groups: NDArray[Any]

    @cached_property
    def group_codes(self) -> NDArray[np.int64]:
        """`groups` as indices 0, 1, … in sorted order of the names, int64 ``(N,)``."""
        return np.asarray(np.unique(self.groups, return_inverse=True)[1], dtype=np.int64)

    @property
    def num_groups(self) -> int:
        """Number of distinct patients or lesions."""
        return int(self.group_codes.max(initial=-1)) + 1
