"""Preparing is quick, training does not wait for images, and memory does not grow with their size."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from wardround.data.images import LabelledImages
from wardround.study.prepare import prepare
from wardround.study.run import train
from wardround.study.spec import load

PLAN = """name = "throughput"
rounds = 2
[data]
source = "ham10000"
size_px = 64
[training]
steps = 40
batch_size = 32
augment = "none"
[evaluation]
every = 0
bootstrap = 0
"""
MAX_PREPARATION_S = 30.0
MAX_WAITING = 0.03
MAX_BYTES_PER_IMAGE = 1500

MANY = """
import re, sys
from pathlib import Path
from wardround.data.catalogue import Manifest
from wardround.data.prepare import Decoding
def peak_kb():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1))
before = peak_kb()
images = Manifest(size_px=8).load(Path(sys.argv[1]), Decoding())
print(len(images), peak_kb() - before)
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDROUND_CACHE", str(tmp_path / "cache"))


@pytest.mark.slow
def test_ham10000_is_prepared_quickly_and_training_does_not_wait(
    tmp_path: Path, test_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tmp_path / "plan.toml"
    spec.write_text(PLAN)
    began = time.perf_counter()
    ready = prepare(test_data, spec, workers=2)
    preparing_s = time.perf_counter() - began
    assert (ready.images, ready.made) == (10015, 10015)
    assert preparing_s < MAX_PREPARATION_S

    waited: list[float] = []
    batch = LabelledImages.batch

    def timed(self: LabelledImages, indices: slice) -> np.ndarray:
        began = time.perf_counter()
        pixels = batch(self, indices)
        waited.append(time.perf_counter() - began)
        return pixels

    monkeypatch.setattr(LabelledImages, "batch", timed)
    began = time.perf_counter()
    train(load(spec), tmp_path / "run", test_data, workers=0)
    share = sum(waited) / (time.perf_counter() - began)
    print(f"preparing {preparing_s:.1f} s, waiting for images {share:.2%} of training")
    assert len(waited) > 100
    assert share < MAX_WAITING


def hard_linked(folder: Path, count: int) -> Path:
    """Write a manifest of `count` pictures, most of them links to a few."""
    from PIL import Image

    folder.mkdir()
    lines = ["image,label,site,patient"]
    for index in range(count):
        path = folder / f"{index:06d}.png"
        if index % 1000 == 0:
            first = path
            Image.fromarray(np.random.default_rng(index).integers(0, 255, (16, 16, 3)).astype(np.uint8)).save(path)
        else:
            os.link(first, path)
        lines.append(f"{path.name},{'ill' if index % 2 else 'well'},site-{index % 4},p{index // 2}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


def memory_of(folder: Path) -> tuple[int, int]:
    """Return the images of a folder and by how many kilobytes loading them raises the peak."""
    said = subprocess.run([sys.executable, "-c", MANY, str(folder)], capture_output=True, text=True, check=True)
    images, kilobytes = said.stdout.split()
    return int(images), int(kilobytes)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_a_hundred_thousand_images_take_a_line_s_memory_each(tmp_path: Path) -> None:
    images, kilobytes = memory_of(hard_linked(tmp_path / "many", 100_000))
    assert images == 100_000
    assert kilobytes * 1024 / images < MAX_BYTES_PER_IMAGE


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_pixels(tmp_path: Path) -> None:
    """The fast sample: 1,500 prepared images of 8 px in 3 channels, whatever they take, fit into a few megabytes."""
    images, kilobytes = memory_of(hard_linked(tmp_path / "some", 1500))
    assert images == 1500
    assert kilobytes < 12_000
