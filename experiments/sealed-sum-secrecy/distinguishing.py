"""Can bytes tell two updates apart, and are words uniform? Features, classifiers and tests, fixed before any result."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

CLASSIFIER_SEED = 3
POSITIONS, SLICES, SIGNATURE = 1024, 64, 64


def features(frame: bytes, signature: bytes) -> np.ndarray:
    """Return what a classifier is shown of an upload.

    Length; byte histogram; mean of each bit; mean, deviation, skewness, kurtosis and serial correlation of the bytes;
    means of 64 slices; the bytes at 1,024 fixed positions; the signature.
    """
    data = np.frombuffer(frame, np.uint8)
    numbers = data.astype(np.float64)
    histogram = np.bincount(data, minlength=256) / data.size
    bits = np.unpackbits(data).reshape(-1, 8).mean(axis=0)
    moments = [numbers.mean(), numbers.std(), stats.skew(numbers), stats.kurtosis(numbers)]
    serial = float(np.corrcoef(numbers[:-1], numbers[1:])[0, 1])
    slices = [part.mean() for part in np.array_split(numbers, SLICES)]
    at = np.linspace(0, data.size - 1, POSITIONS).astype(int)
    signed = np.frombuffer(signature.ljust(SIGNATURE, b"\0"), np.uint8)
    return np.concatenate([[data.size], histogram, bits, moments, [serial], slices, data[at], signed]).astype(
        np.float32
    )


def likeness(numbers: np.ndarray, left: np.ndarray, right: np.ndarray) -> float:
    """Return how much more like `left` than `right` numbers modulo 1 are: what one who knows both updates would ask."""
    turn = 2 * math.pi
    return float(np.sum(np.cos(turn * (numbers - left)) - np.cos(turn * (numbers - right))))


@dataclass(frozen=True)
class Auc:
    """Area under the curve, with its 95% interval."""

    value: float
    low: float
    high: float


def delong(scores: np.ndarray, labels: np.ndarray) -> Auc:
    """Return the AUC with the interval of DeLong et al. 1988 (doi:10.2307/2531595), by ranks (Sun, Xu 2014)."""
    ones, zeros = scores[labels == 1], scores[labels == 0]
    ranks = stats.rankdata(np.concatenate([ones, zeros]))
    above = (ranks[: ones.size] - stats.rankdata(ones)) / zeros.size
    below = 1 - (ranks[ones.size :] - stats.rankdata(zeros)) / ones.size
    value = float(above.mean())
    error = math.sqrt(above.var(ddof=1) / ones.size + below.var(ddof=1) / zeros.size)
    reach = stats.norm.ppf(0.975) * error
    return Auc(value, float(max(0.0, value - reach)), float(min(1.0, value + reach)))


def classifiers() -> dict[str, ClassifierMixin]:
    """Return untrained classifiers by name."""
    return {
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000)),
        "random forest": RandomForestClassifier(
            300, min_samples_leaf=5, max_features="sqrt", random_state=CLASSIFIER_SEED, n_jobs=1
        ),
    }


def judged(table: np.ndarray, labels: np.ndarray) -> dict[str, Auc]:
    """Train each classifier on the first half of the uploads and score the second."""
    half = len(labels) // 2
    found = {}
    for name, classifier in classifiers().items():
        classifier.fit(table[:half], labels[:half])
        found[name] = delong(classifier.predict_proba(table[half:])[:, 1], labels[half:])
    return found


def uniformity(words: np.ndarray, word_bits: int) -> dict[str, float]:
    """Return the p-values of four tests that `words` are uniform and independent in ``[0, 2^word_bits)``."""
    bits = np.array([np.count_nonzero(words >> np.uint64(bit) & np.uint64(1)) for bit in range(word_bits)])
    off_half = (bits - words.size / 2) ** 2 / (words.size / 4)
    columns = words.view(np.uint8).reshape(-1, 8)[:, : word_bits // 8]
    high = (words >> np.uint64(word_bits - 4)).astype(np.int64)
    pairs = np.bincount(high[0::2] * 16 + high[1::2], minlength=256)
    return {
        "bits": float(stats.chi2.sf(off_half.sum(), word_bits)),
        "bytes": float(stats.chisquare(np.bincount(columns.ravel(), minlength=256)).pvalue),
        "neighbours": float(stats.chisquare(pairs).pvalue),
        "distribution": float(stats.kstest(words / 2.0**word_bits, "uniform").pvalue),
    }
