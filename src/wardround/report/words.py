"""Numbers and names as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wardround.metrics.intervals import Estimate

UNDEFINED = "–"

ALGORITHMS: Mapping[str, str] = {
    "fedavg": "FedAvg",
    "fedprox": "FedProx",
    "fedbn": "FedBN",
    "scaffold": "SCAFFOLD",
    "dpsgd": "DP-SGD",
    "and_mask": "AND-mask",
    "fedgma": "FedGMA",
    "fedsr": "FedSR",
    "irm": "IRM",
    "vrex": "V-REx",
    "logit_adjusted": "logit-adjusted FedAvg",
    "ditto": "Ditto",
    "fedrep": "FedRep",
    "fedgan": "FedGAN",
    "central": "pooled training",
    "local": "each site alone",
}
MODELS: Mapping[str, str] = {
    "small_cnn": "a small CNN",
    "resnet18": "a ResNet-18",
    "resnet50": "a ResNet-50",
    "scattering": "fixed scattering features",
    "diffusion": "a denoising diffusion model",
    "dcgan": "a conditional DCGAN",
    "style_gan": "a conditional, style-based generator",
}
SOURCES: Mapping[str, str] = {
    "slide": "the embedded immunohistochemistry slide",
    "ham10000": "HAM10000, dermatoscopic images of skin lesions",
    "medmnist": "a MedMNIST set",
    "manifest": "the sites' own images",
    "phantoms": "random ellipses",
}
METRICS: Mapping[str, str] = {
    "auc": "AUC",
    "auc_malignant": "AUC, malignant",
    "balanced_accuracy": "Balanced accuracy",
    "f1": "F1",
    "calibration_error": "Calibration error",
    "dice": "Dice",
    "iou": "IoU",
    "hd95_px": "HD95, pixels",
    "hd95_mm": "HD95, mm",
    "psnr_db": "PSNR, dB",
    "ssim": "SSIM",
    "rmse": "RMSE",
    "gain_db": "PSNR gained, dB",
    "frechet_random": "Fréchet distance, random features",
    "kernel_random": "Kernel distance, random features",
    "precision": "Precision",
    "recall": "Recall",
    "density": "Density",
    "coverage": "Coverage",
}
HEADLINES = ("auc", "balanced_accuracy", "dice", "psnr_db", "frechet_random")
"""The metric that figures show: the first of these that is defined."""
LOSSES: Mapping[str, str] = {
    "classification": "cross-entropy",
    "segmentation": "Dice loss and cross-entropy",
    "restoration": "squared error",
    "synthesis": "generator's loss",
}
NOTES: Mapping[str, str] = {
    "segmentation": (
        "Each number is the mean over images: of Dice, IoU and the 95th percentile of the distance between borders. "
        "Two empty masks agree; where one is empty, Dice and IoU are 0 and the distance is the diagonal of the image. "
        "Pixels are those of the images as the network is fed them; millimetres are known where the images say them. "
        "Of distances less is better."
    ),
    "restoration": (
        "Each number is the mean over images, against the clean image, on grey levels from 0 to 1. PSNR gained is over "
        "the image as it was seen. Of the RMSE less is better. What degraded the images is simulated."
    ),
    "synthesis": (
        "Real test images against as many synthetic ones of the same classes, on features of a fixed network with "
        "random weights: distances on them compare with each other, and are no FID. Of distances less is better; the "
        "Fréchet distance grows where there are fewer images. Precision and density say how many synthetic images look "
        "real, recall and coverage how much of what is real is made. There are no intervals: a bootstrap of such "
        "distances is biased. None of it says whether training images were copied: wardround synthesise --check does."
    ),
}
SHARED: Mapping[str, str] = {
    "classification": "the class probabilities and labels of each validation and test image",
    "segmentation": "the scores of each validation and test image",
    "restoration": "the scores of each validation and test image",
    "synthesis": "random features and the label of each validation and test image",
}
PHASES: Mapping[str, str] = {
    "open": "Sites join",
    "keys": "Sites agree on keys",
    "ledger": "Ledger written and co-signed",
    "train": "Sites train, updates are summed",
    "server": "Server step",
    "validate": "Looks at the validation parts",
    "test": "Final test",
}
LEAKS: Mapping[str, str] = {
    "updates": "the update of the weights that each site sends in each round",
    "sums of updates": "the sum of the sites' updates in each round, and so the model",
    "sums of updates, to the sites": "the sum of the updates in each round, and so the model, to the sites alone",
    "noisy updates": "the update of the weights that each site sends in each round",
    "noisy sums of updates": "the sum of the sites' updates in each round",
    "models": "the model of each round",
    "models, but to the coordinator": "the model of each round, as the other sites and users get it",
    "digests of updates": "digests of single updates in the ledger: who can compute an update recognises it",
    "training times": "how long each site trained",
    "who took part": "which sites took part in which rounds",
    "weights and cut shares": "each site's weight in the sum, and the share of its values that were cut",
    "training losses": "the training loss of each site in each round",
    "numbers of examples": "how many images each site holds",
    "classes held": "which classes each site holds and, where the images are published, how many images of each",
    "test results": "results on validation and test images",
    "votes on weights": "how many sites wanted each weight to grow; where updates are read, which",
    "the mean training loss, to the sites": "the mean training loss of each round, which the sites are told",
    "looks of test images": "sums over each site's test images: channel means, histograms, mean features",
}


def name_of(names: Mapping[str, str], key: str) -> str:
    """Return the readable name of `key`, or `key` itself where there is none."""
    return names.get(key, key)


def model_name(plan: Mapping[str, Any]) -> str:
    """Name the network of a plan."""
    model = plan["model"]
    return str(model.get("network") or name_of(MODELS, str(model["name"])))


def source_name(plan: Mapping[str, Any]) -> str:
    """Name the data of a plan."""
    data = plan["data"]
    return str(data.get("dataset") or name_of(SOURCES, str(data["source"])))


def sealed(plan: Mapping[str, Any]) -> str:
    """Say in which shape a site's update left it; empty where it left as it was."""
    stages = {str(stage["stage"]): stage for stage in plan.get("protect", ())}
    ways = []
    if "masks" in stages:
        ways.append("masked")
    if "homomorphic" in stages:
        ways.append(f"encrypted ({stages['homomorphic'].get('scheme', 'packed')})")
    if not ways:
        return ""
    return f"A single site's update left it only {' and '.join(ways)}."


def how(algorithm: str, num_sites: int) -> str:
    """Say by whom and how a run was trained."""
    said = {
        "central": "in one place, on the pooled images of all sites: a yardstick, not a federation",
        "local": f"at {plural(num_sites, 'site')}, each alone and sharing nothing: a yardstick, not a federation",
    }
    return said.get(algorithm, f"by {name_of(ALGORITHMS, algorithm)} at {plural(num_sites, 'site')}")


def decimal(value: float | None) -> str:
    """Write a metric with three decimals; a dash if it is undefined."""
    return UNDEFINED if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    """Write a difference of metrics with its sign."""
    return UNDEFINED if value is None else f"{value:+.3f}".replace("-", "−")


def interval(estimate: Estimate) -> str:
    """Write the 95% interval, ``low–high``; empty if there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{estimate.low:.3f}–{estimate.high:.3f}"


def signed_interval(estimate: Estimate) -> str:
    """Write the 95% interval of a difference; empty if there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{signed(estimate.low)} to {signed(estimate.high)}"


def count(number: int) -> str:
    """Write an integer with thin spaces between thousands."""
    return f"{number:,}".replace(",", "\u2009")


def size(size_bytes: float) -> str:
    """Write a number of bytes in the largest decimal unit that leaves a digit before the point."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} B" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def duration(seconds: float) -> str:
    """Write seconds as seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def plural(number: int, word: str) -> str:
    """Write a number and its noun: ``1 site``, ``4 sites``."""
    return f"{count(number)} {word}{'' if number == 1 else 's'}"


def listed(names: Iterable[str], most: int = 8) -> str:
    """Join names with commas and *and*; beyond `most` say how many more there are."""
    found = list(names)
    if len(found) > most:
        return ", ".join(found[:most]) + f" and {len(found) - most} more"
    return " and ".join([", ".join(found[:-1]), found[-1]]) if len(found) > 1 else "".join(found)


def round_ranges(rounds: Sequence[int]) -> str:
    """Write sorted round numbers compactly: ``0–2, 5``."""
    spans: list[list[int]] = []
    for number in rounds:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in spans)


def shortened(name: str, most: int = 22) -> str:
    """Cut a long name for the axis of a figure."""
    return name if len(name) <= most else name[: most - 1] + "…"
