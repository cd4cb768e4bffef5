"""Degrades the images of every site, once: kept in the cache, and the same wherever they are made again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from wardround.core.context import derive_seed
from wardround.data.degradations import AnyDegradation, of_site
from wardround.data.images import LabelledImages
from wardround.data.prepare import Decoding, prepared
from wardround.data.sites import SiteData

RED, GREEN, BLUE, BITS = 19595, 38470, 7471, 16
"""Weights of ITU-R BT.601 for brightness, in 65536ths, as Pillow has them."""


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """Turn uint8 ``(…, C)`` into brightness, uint8 ``(…, 1)``; grey images stay what they are."""
    if pixels.shape[-1] == 1:
        return pixels
    wide = pixels.astype(np.uint32)
    grey = RED * wide[..., :1] + GREEN * wide[..., 1:2] + BLUE * wide[..., 2:] + (1 << (BITS - 1))
    return np.asarray(grey >> BITS, np.uint8)


def degraded(
    dealt: Mapping[str, SiteData],
    degradations: tuple[AnyDegradation, ...],
    seed: int,
    how: Decoding | None = None,
) -> dict[str, SiteData]:
    """Give every site's images what its scanner would have made of them.

    The noise of an image follows from the seed, its site and its pixels, whatever images there are beside it. What is
    seen is cut to black and white and rounded to 256 grey levels, as it would be in a picture file.

    Args:
        dealt: site -> views of one block of grey images.
        degradations: one for each site; see `of_site`.
        seed: of the noise.
        how: in how many processes.

    Raises:
        PlanError: a site has none.
        DataError: the cache cannot be written.
    """
    views = [part for site in dealt.values() for part in (site.train, site.val, site.test)]
    clean = views[0].pixels
    owner = np.full(len(clean), -1)
    for place, site in enumerate(dealt.values()):
        for part in (site.train, site.val, site.test):
            owner[part.rows] = place
    names = tuple(dealt)
    chosen = tuple(of_site(degradations, name) for name in names)
    key = {
        "source": "degraded",
        "clean": hashlib.sha256(clean.tobytes()).hexdigest(),
        "owner": hashlib.sha256(owner.astype("<i8").tobytes()).hexdigest(),
        "sites": json.dumps([[name, each.name, asdict(each)] for name, each in zip(names, chosen, strict=True)]),
        "seed": seed,
    }
    shape = (len(clean), *views[0].shape)
    block = prepared(key, shape, _Scanners(clean, owner, names, chosen, seed), how).pixels
    return {name: _seen(site, block) for name, site in dealt.items()}


def _seen(site: SiteData, block: np.ndarray) -> SiteData:
    def seen(images: LabelledImages) -> LabelledImages:
        return replace(images, degraded=block)

    return SiteData(seen(site.train), seen(site.val), seen(site.test))


@dataclass(frozen=True, eq=False)
class _Scanners:
    """Degrades the images of a block; see `prepare.Decoder`."""

    clean: np.ndarray
    owner: np.ndarray
    names: tuple[str, ...]
    chosen: tuple[AnyDegradation, ...]
    seed: int

    def __call__(self, row: int) -> tuple[np.ndarray, str]:
        place = int(self.owner[row])
        if place < 0:  # of no site: nobody is fed it
            return np.zeros(self.clean.shape[1:], np.uint8), ""
        pixels = self.clean[row]
        digest = hashlib.sha256(pixels.tobytes()).hexdigest()
        rng = np.random.default_rng(derive_seed(self.seed, "degradation", self.names[place], digest))
        seen = self.chosen[place].applied(pixels[..., 0] / 255, rng)
        return np.rint(np.clip(seen, 0, 1) * 255).astype(np.uint8)[..., None], ""

    def name(self, row: int) -> str:
        return f"image {row}"
