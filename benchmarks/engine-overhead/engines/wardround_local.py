"""The no-op job on `LocalFabric`, every message through the wire format."""

from __future__ import annotations

from noop import SITES
from wardround_noop import coordinate_on, open_noop

from wardround.fabric.local import LocalFabric

if __name__ == "__main__":
    coordinate_on(LocalFabric(SITES, open_noop, encoded=True))
