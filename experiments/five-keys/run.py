"""The published five-key configuration, exactly as written: remakes ``results.json`` beside this file.

    OMP_NUM_THREADS=1 python experiments/five-keys/run.py

Needs no data. Noise comes from the operating system, so a second run gives another model.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PUBLISHED = HERE / "published.json"


def main() -> None:
    """Train as a user would, and write what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [str(Path(sys.executable).with_name("wardround")), "train", str(PUBLISHED), "--out", f"{folder}/run"]
        subprocess.run(command, check=True)
        wall_s = time.perf_counter() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        summary: dict[str, Any] = json.loads((Path(folder) / "run" / "summary.json").read_text())
    found = {
        "plan": json.loads(PUBLISHED.read_text()),
        "plan_digest": summary["plan_digest"],
        "wall_s": round(wall_s),
        "cpu_s": round(used.ru_utime + used.ru_stime),
        "auc": summary["metrics"]["pooled"]["auc"],
        "auc_interval": summary["intervals"]["pooled"]["auc"],
        "privacy": summary["privacy"],
        "bytes": summary["bytes"],
        "seconds": summary["seconds"],
        "versions": summary["versions"],
    }
    (HERE / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    print(f"{wall_s:.0f} s, AUC {found['auc']:.3f}, epsilon {summary['privacy']['epsilon']:.3f}")


if __name__ == "__main__":
    main()
