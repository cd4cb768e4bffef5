"""What a run that makes images made: a sheet of each class, and how far each class is from the real images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wardround.errors import RunFolderError
from wardround.metrics.features import FeaturePairs
from wardround.metrics.measures import SampleMeasures
from wardround.report.drawing import INK, PALETTE, Panel, draw
from wardround.report.pictures import GAP_PX, Gallery, enlarged
from wardround.report.png import as_png
from wardround.report.reading import Results, Run
from wardround.report.results import NO_PREDICTIONS
from wardround.report.words import METRICS, count, decimal, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILE = "synthetic.safetensors"
LARGEST_BYTES = 64 * 2**20
TILE_PX = 72
CAPTION = (
    "Synthetic images of each class, from the model in this folder: nobody's images, unless the model copies; "
    "wardround synthesise --check compares them with training images."
)


def sheets(run: Run, results: Results) -> list[Gallery]:
    """Return a sheet of synthetic images for each class; empty where the folder holds none.

    Raises:
        RunFolderError: the file is damaged.
    """
    import safetensors.numpy
    from safetensors import SafetensorError

    path = run.path / FILE
    if results.task != "synthesis" or not path.is_file():
        return []
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise RunFolderError(f"{path} is larger than {LARGEST_BYTES} bytes: it holds more than some pictures")
        arrays = safetensors.numpy.load(path.read_bytes())
        return [
            Gallery(name, ((f"{name}, synthetic", as_png(_sheet(arrays[str(place)]))),))
            for place, name in enumerate(results.classes)
        ]
    except (SafetensorError, KeyError, ValueError, TypeError, OSError) as error:
        raise RunFolderError(f"{path} is damaged: {error}") from None


def class_panel(results: Results) -> Panel:
    """Draw the kernel distance of each class, pooled: it is unbiased, so that rare classes compare with others."""
    metric = "kernel_random"
    title = f"{METRICS[metric]}, by class"
    if not isinstance(results.predictions, FeaturePairs):
        return Panel(title, NO_PREDICTIONS)
    found = SampleMeasures(results.classes).by_class(results.predictions)
    values = {name: value for name, metrics in found.items() if (value := metrics[metric]) is not None}
    if not values:
        return Panel(title, "Too few test images show any one class, so there is nothing to compare.")
    numbers = np.bincount(results.predictions.labels, minlength=len(results.classes)).tolist()
    alt = f"{title}: " + ", ".join(f"{name} {decimal(value)}" for name, value in values.items()) + "."

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.barh(range(len(values)), list(values.values()), 0.6, color=PALETTE[0], alpha=0.55)
        labels = [f"{shortened(name)}\nn = {count(numbers[results.classes.index(name)])}" for name in values]
        axes.set_yticks(range(len(values)), labels, color=INK)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(METRICS[metric])

    absent = [name for name in results.classes if name not in values]
    caption = "Real test images of a class against as many synthetic ones; less is better, about 0 is no difference."
    if absent:
        caption += f" Too few test images of {', '.join(absent)}."
    return Panel(title, caption, draw("by-class", alt, 1.1 + 0.42 * len(values), paint))


def _sheet(images: np.ndarray) -> np.ndarray:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3) or not len(images):
        raise ValueError(f"its images are {images.dtype} {images.shape}")
    gap = np.full((enlarged(images[0], TILE_PX).shape[0], GAP_PX, 3), 255, np.uint8)
    tiles = [piece for image in images for piece in (enlarged(image, TILE_PX), gap)]
    return np.concatenate(tiles[:-1], axis=1)
