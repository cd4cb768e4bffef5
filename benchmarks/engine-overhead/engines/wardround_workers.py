"""The no-op job on `WorkerFabric` with two worker processes."""

from __future__ import annotations

from noop import SITES
from wardround_noop import coordinate_on, make_opener

from wardround.fabric.workers import WorkerFabric

if __name__ == "__main__":
    fabric = WorkerFabric(SITES, make_opener, workers=2)
    try:
        coordinate_on(fabric)
    finally:
        fabric.close()
