"""The no-op job on wardround's FLARE fabric: provisioned, real processes, mutual TLS on loopback."""

from __future__ import annotations

import tempfile
from pathlib import Path

from noop import SITES

from wardround.fabric.flare.job import JobClasses
from wardround.fabric.flare.poc import Loopback, launch_poc
from wardround.fabric.flare.project import ALLOWED

CLASSES = JobClasses("wardround_flare_parties.NoopSiteApp", "wardround_flare_parties.NoopCoordinatorApp")

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        allowed = (*ALLOWED, "wardround_flare_parties.")
        launch_poc("{}", Loopback(SITES, Path(scratch) / "noop", classes=CLASSES, allowed=allowed, retries=0))
