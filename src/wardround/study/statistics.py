"""Counts a site's training images for a plan, and turns the counts of all sites into the plan's standard scale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wardround.core.files import write_atomically
from wardround.data.catalogue import Manifest
from wardround.data.catalogue.table import read_table
from wardround.data.intensity import Landmarks
from wardround.data.prepare import Decoding
from wardround.data.sites import partition
from wardround.data.tally import MAX_BYTES, Tally, added, tally_of
from wardround.errors import DataError, PlanError
from wardround.rounds.plan import Plan


def count_site(plan: Plan, folder: Path, site: str, workers: int) -> Tally:
    """Count the training images of one site.

    Args:
        plan: with ``source = "manifest"`` and ``[data.intensity] by = "landmarks"``, whose percentiles are counted.
        folder: the data root; holds the site's own images.
        site: which site of the table; ``""`` takes the only one.
        workers: processes that decode images no cache holds.

    Raises:
        PlanError: the plan wants no landmarks.
        DataError: the images cannot be used, the site is not in the table, or has too few training images.
    """
    source = plan.data.source
    if not isinstance(source, Manifest) or not isinstance(source.intensity, Landmarks):
        raise PlanError('counts are for source = "manifest" with [data.intensity] by = "landmarks": change the plan')
    images = source.load(folder, Decoding(workers))
    dealt = partition(images, plan.data.sites, plan.data.parts, plan.data.split_seed, whole=False)
    if site not in dealt and (site or len(dealt) != 1):
        raise DataError(f"the table has the sites {', '.join(sorted(dealt))}: name one of them with --site")
    train = dealt[site or next(iter(dealt))].train
    rows = read_table(folder / source.path, source.table)
    planes = (source.plane(rows[row].file, rows[row]) for row in train.rows.tolist())
    pixels = (train.batch([index])[0] for index in range(len(train)))
    return tally_of(plan.digest(), source.intensity.percentiles, planes, pixels)


def write_tally(tally: Tally, path: Path) -> Path:
    """Write a tally as text and return `path`."""
    write_atomically(path, (tally.to_json() + "\n").encode())
    return path


def read_tallies(paths: Sequence[Path]) -> Tally:
    """Read the tallies of several sites and add them.

    Raises:
        DataError: a file cannot be read, is no tally, or was made for another plan.
    """
    found = []
    for path in paths:
        try:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
            found.append(Tally.from_json(content.decode("utf-8"), str(path)))
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}): check the path") from None
        except UnicodeDecodeError:
            raise DataError(f"{path} holds no counts: make it with wardround data count") from None
    return added(found)


def standard_table(tally: Tally) -> str:
    """Return the ``[data.intensity]`` table that a tally leads to, as TOML.

    Raises:
        DataError: two landmarks coincide on average, so that they give no scale.
    """
    import tomli_w

    try:
        landmarks = Landmarks(tally.percentiles, tally.standard)
    except PlanError:
        raise DataError("two percentiles coincide in the mean of all images: give the plan fewer of them") from None
    table = {"by": "landmarks", "percentiles": landmarks.percentiles, "standard": landmarks.standard}
    return tomli_w.dumps({"data": {"intensity": table}})
