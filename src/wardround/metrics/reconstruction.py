"""How much of an image a reconstruction gives away, beside what anybody knows who never saw an update."""

from __future__ import annotations

import numpy as np

from wardround.metrics.clinical import FloatArray
from wardround.metrics.image_quality import psnr_db


def pairing(true: FloatArray, found: FloatArray) -> np.ndarray:
    """Return for each true image the place of the reconstruction that is given to it, int64 ``(N,)``.

    An attack rebuilds a batch in no order, so all pairs are compared, and those are taken whose squared differences
    have the smallest sum. Where an attack found fewer images than there were, -1 stands for none.

    Args:
        true: ``(N, H, W, C)``.
        found: ``(M, H, W, C)``.
    """
    from scipy.optimize import linear_sum_assignment

    places = np.full(len(true), -1, np.int64)
    if not len(found):
        return places
    flat_true, flat_found = (np.reshape(images, (len(images), -1)).astype(np.float64) for images in (true, found))
    cost = ((flat_true[:, None] - flat_found[None]) ** 2).mean(2)
    rows, columns = linear_sum_assignment(cost)
    places[rows] = columns
    return places


def corrected_psnr_db(true: FloatArray, found: FloatArray) -> float:
    """Return the PSNR after the gain and the offset that bring `found` nearest to `true`.

    A reconstruction that is only too bright or too flat has lost nothing that an eye would miss; its plain PSNR says
    otherwise. Gain and offset are those of the whole image, by least squares; a negative gain counts as none.
    """
    x, y = np.ravel(found).astype(np.float64), np.ravel(true).astype(np.float64)
    spread = x.var()
    gain = max(0.0, float(((x - x.mean()) * (y - y.mean())).mean() / spread)) if spread > 0 else 0.0
    return psnr_db(y, y.mean() + gain * (x - x.mean()))


def identity_rank(found: FloatArray, pool: FloatArray, place: int) -> int:
    """Return how many images of a pool look at least as much like a reconstruction as the true one does.

    1 says that whoever holds the pool picks the right patient. The likeness is the correlation of grey pixels, which
    neither brightness nor contrast changes; an image without contrast is like none.

    Args:
        found: ``(H, W, C)``.
        pool: ``(N, H, W, C)``.
        place: of the true image in the pool.
    """
    images = _standardised(np.concatenate([np.asarray(found)[None], pool]))
    likeness = images[1:] @ images[0]
    return int((likeness >= likeness[place]).sum())


def coarse_copy(image: FloatArray, factor: int) -> FloatArray:
    """Return the image averaged over squares of `factor` x `factor` pixels and scaled up again; edges may be uneven."""
    result = np.empty(np.shape(image), np.float64)
    height, width = np.shape(image)[:2]
    for top in range(0, height, factor):
        for left in range(0, width, factor):
            square = (slice(top, top + factor), slice(left, left + factor))
            result[square] = np.asarray(image)[square].mean((0, 1))
    return result


def _standardised(images: FloatArray) -> FloatArray:
    grey: np.ndarray = images.mean(3).reshape(len(images), -1).astype(np.float64)
    grey = grey - grey.mean(1, keepdims=True)
    length = np.linalg.norm(grey, axis=1, keepdims=True)
    return np.asarray(np.divide(grey, length, out=np.zeros_like(grey), where=length > 1e-9))
