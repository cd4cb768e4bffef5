"""Which patches and which label make the embedded slide a fair demo: remakes the CSV files beside this file.

    OMP_NUM_THREADS=1 python experiments/slide-label-search/search.py [search|chosen]

Every variant is judged on the validation strip alone. `chosen` trains the defaults of `Slide` with seven seeds and
looks at the test strip. One core, about ten minutes together.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from skimage.color import combine_stains, hdx_from_rgb, rgb_from_hdx, separate_stains
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from wardround.data.catalogue import slide as source
from wardround.data.floor import mean_colour
from wardround.data.images import LabelledImages

HERE = Path(__file__).parent
EPOCHS, BATCH_SIZE, SEEDS = 12, 32, 7


@dataclass(frozen=True)
class Variant:
    """One row of the search. `removal`, `gain` and `label` name what is done."""

    size_px: int = 16
    threshold: float = 0.05
    removal: str = "hed"
    gain: str = "site"
    label: str = "coverage"


DEFAULT = Variant()
VARIANTS = (
    DEFAULT,
    *(replace(DEFAULT, size_px=size) for size in (24, 32, 48)),
    *(replace(DEFAULT, threshold=threshold) for threshold in (0.02, 0.03, 0.08, 0.12)),
    *(replace(DEFAULT, removal=removal) for removal in ("hed, haematoxylin only", "hdx")),
    replace(DEFAULT, gain="patch"),
    *(replace(DEFAULT, label=label) for label in ("coverage, median of the site", "mean density", "texture", "edges")),
)


def only_haematoxylin(rgb: np.ndarray) -> np.ndarray:
    """Take the residual off as well as DAB."""
    from skimage.color import hed2rgb, rgb2hed

    stains = rgb2hed(rgb)
    stains[..., 1:] = 0
    return source._eight_bit(hed2rgb(stains))


def without_dab_hdx(rgb: np.ndarray) -> np.ndarray:
    """Take DAB off with the stain vectors of the haematoxylin-DAB pair; its third channel is what neither explains."""
    stains = separate_stains(rgb, hdx_from_rgb)
    stains[..., 1] = 0
    return source._eight_bit(combine_stains(stains, rgb_from_hdx))


REMOVALS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "hed": source.without_dab,
    "hed, haematoxylin only": only_haematoxylin,
    "hdx": without_dab_hdx,
}


def quantity(variant: Variant, slide: np.ndarray, places: source.Places) -> np.ndarray:
    """Return (N,): what the label thresholds at the training median."""
    dab = source.dab_of(slide)
    if variant.label == "texture":
        return source.patches_of(dab, places, variant.size_px).std(axis=(1, 2))
    if variant.label == "edges":
        return source.patches_of(np.hypot(*np.gradient(dab)), places, variant.size_px).mean(axis=(1, 2))
    if variant.label == "mean density":
        return source.patches_of(dab, places, variant.size_px).mean(axis=(1, 2))
    return source.patches_of(dab > variant.threshold, places, variant.size_px).mean(axis=(1, 2))


def images_of(variant: Variant) -> LabelledImages:
    """Return the patches of a variant: as `Slide.load`, with the steps of the variant swapped in."""
    slide = source.embedded_slide()
    images = source.Slide(size_px=variant.size_px, dab_threshold=variant.threshold).load(None)
    places = source.patch_places(variant.size_px, source.Slide().stride_px)
    free = np.empty_like(slide)
    for look in source.LOOKS:
        top, left = look.corner
        square = np.s_[top : top + source.REGION_PX, left : left + source.REGION_PX]
        scan = source.gain_normalised(source.scanned(slide[square], look), source.strips(variant.size_px)[0].end)
        free[square] = REMOVALS[variant.removal](scan)
    pixels = source.patches_of(free, places, variant.size_px)
    if variant.gain == "patch":
        pixels = source._eight_bit(0.5 * pixels / np.maximum(pixels.mean(axis=(1, 2), keepdims=True), 1))
    values, train = quantity(variant, slide, places), places.parts == "train"
    border = np.full(len(places), np.median(values[train]))
    if variant.label.endswith("of the site"):
        for look in source.LOOKS:
            border[places.sites == look.site] = np.median(values[train & (places.sites == look.site)])
    return replace(images, pixels=pixels, labels=(values > border).astype(np.int64))


def net() -> nn.Module:
    """Return a small CNN, 46k parameters."""
    layers: list[nn.Module] = []
    for wide, wider in ((3, 24), (24, 48), (48, 80)):
        layers += [nn.Conv2d(wide, wider, 3, padding=1), nn.GroupNorm(8, wider), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(80, 1))


def cnn_scores(images: LabelledImages, seed: int) -> np.ndarray:
    """Train on the pooled training strips, with flips and turns; return the scores (N,) of all patches."""
    torch.manual_seed(seed)
    model, train = net(), np.flatnonzero(images.parts == "train")
    pixels = torch.from_numpy(images.batch(slice(None))).permute(0, 3, 1, 2).float() / 127.5 - 1
    target = torch.from_numpy(images.labels).float()
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, EPOCHS * (len(train) // BATCH_SIZE))
    for _ in range(EPOCHS):
        for batch in torch.from_numpy(train)[torch.randperm(len(train))].split(BATCH_SIZE)[: len(train) // BATCH_SIZE]:
            turned = torch.rot90(pixels[batch], int(torch.randint(4, ())), (2, 3))
            flipped = torch.where(torch.rand(len(batch), 1, 1, 1) < 0.5, turned, turned.flip(3))
            loss = nn.functional.binary_cross_entropy_with_logits(model(flipped)[:, 0], target[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        return torch.cat([model.eval()(block)[:, 0] for block in pixels.split(512)]).numpy()


def floor_scores(images: LabelledImages, features: np.ndarray) -> np.ndarray:
    """Fit a logistic model on the training strips; return its scores (N,) of all patches."""
    train = images.parts == "train"
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return np.asarray(model.fit(features[train], images.labels[train]).decision_function(features))


def colour_and_spread(images: LabelledImages) -> np.ndarray:
    """Return (N, 6): mean and standard deviation of each channel."""
    pixels = images.batch(slice(None)) / 255
    return np.hstack([pixels.mean(axis=(1, 2)), pixels.std(axis=(1, 2))])


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the share of pairs of unlike labels that the scores put in order, ties counted half."""
    low, high = np.sort(scores[labels == 0]), scores[labels == 1]
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return float(below.mean() / 2 / len(low))


def pooled_auc(images: LabelledImages, scores: np.ndarray, part: str) -> float:
    """Return the AUC over all patches of a part."""
    here = images.parts == part
    return auc(images.labels[here], scores[here])


def site_mean_auc(images: LabelledImages, scores: np.ndarray, part: str) -> float:
    """Mean over the sites whose strip holds both classes: what knowing the site cannot help with."""
    found = []
    for site in np.unique(images.origins):
        here = (images.parts == part) & (images.origins == site)
        if len(np.unique(images.labels[here])) == 2:
            found.append(auc(images.labels[here], scores[here]))
    return float(np.mean(found))


def yardsticks(images: LabelledImages) -> dict[str, np.ndarray]:
    """Return the scores of models that see no shapes: the site alone, mean colour, mean and spread of colour."""
    sites = np.unique(images.origins, return_inverse=True)[1]
    return {
        "site": floor_scores(images, np.eye(4)[sites]),
        "colour": floor_scores(images, mean_colour(images)),
        "colour_and_spread": floor_scores(images, colour_and_spread(images)),
    }


def search() -> None:
    """Judge every variant on the validation strips."""
    rows = []
    for variant in VARIANTS:
        images, began = images_of(variant), time.perf_counter()
        scores = {**yardsticks(images), "cnn": (cnn_scores(images, 0) + cnn_scores(images, 1)) / 2}
        row: dict[str, object] = vars(variant) | {"train_n": int((images.parts == "train").sum())}
        row["val_n"] = int((images.parts == "val").sum())
        for name, values in scores.items():
            row[f"{name}_val_auc"] = round(pooled_auc(images, values, "val"), 3)
            row[f"{name}_val_site_mean_auc"] = round(site_mean_auc(images, values, "val"), 3)
        row["seconds"] = round(time.perf_counter() - began, 1)
        rows.append(row)
        print(row, flush=True)
    write("search.csv", rows)


def interval(images: LabelledImages, measure: Callable[[LabelledImages], float]) -> tuple[float, float]:
    """Return the 95% interval of `measure` over 2,000 draws of whole test blocks, within each site."""
    rng, test = np.random.default_rng(0), np.flatnonzero(images.parts == "test")
    blocks = {name: test[images.groups[test] == name] for name in np.unique(images.groups[test])}
    by_site = [[n for n in blocks if n.startswith(site)] for site in np.unique(images.origins)]
    draws = []
    for _ in range(2000):
        names = [name for here in by_site for name in rng.choice(here, len(here))]
        draws.append(measure(images.take(np.concatenate([blocks[name] for name in names]))))
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return round(float(low), 3), round(float(high), 3)


def chosen() -> None:
    """Train the chosen variant with every seed and report the test strips."""
    variant = DEFAULT
    images, rows = images_of(variant), []
    scores = yardsticks(images) | {f"cnn, seed {seed}": cnn_scores(images, seed) for seed in range(SEEDS)}
    cnns = [name for name in scores if name.startswith("cnn")]
    test = images.parts == "test"
    for name, values in scores.items():
        row = {"model": name, "test_n": int(test.sum()), "test_blocks": len(np.unique(images.groups[test]))}
        for label, measure in (("auc", pooled_auc), ("site_mean_auc", site_mean_auc)):
            row[label] = round(measure(images, values, "test"), 3)
            row[f"{label}_low"], row[f"{label}_high"] = interval(
                images, lambda drawn, measure=measure, values=values: measure(drawn, values[drawn.rows], "test")
            )
        rows.append(row)
        print(row, flush=True)
    for label, measure in (("auc", pooled_auc), ("site_mean_auc", site_mean_auc)):

        def gain(drawn: LabelledImages, measure=measure) -> float:
            nets = np.mean([measure(drawn, scores[name][drawn.rows], "test") for name in cnns])
            return float(nets) - measure(drawn, scores["colour"][drawn.rows], "test")

        print(label, "cnn mean - colour", round(gain(images), 3), interval(images, gain), flush=True)
    write("chosen.csv", rows)


def write(name: str, rows: list[dict[str, object]]) -> None:
    """Write rows beside this file."""
    with (HERE / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for step in sys.argv[1:] or ["search", "chosen"]:
        {"search": search, "chosen": chosen}[step]()
