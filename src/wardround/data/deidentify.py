"""DICOM headers lose what identifies a patient before anything else reads them.

DICOM PS3.15 2024b, Annex E, Basic Application Level Confidentiality Profile. The list of attributes (Table E.1-1) is
that of the package ``dicom-anonymizer``. Actions differ from the table in this: headers are used in memory and never
written again as DICOM, so what the table empties or replaces by a dummy is removed as well.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from wardround.data.cache import cache_folder
from wardround.errors import DataError

if TYPE_CHECKING:
    from pydicom import Dataset

KEY_FILE = "deidentify.key"
KEY_BYTES = 32
PATIENT_ID = 0x00100020
ROI_NAME = 0x30060026
BURNED_IN = 0x00280301
_ALWAYS_REMOVED = frozenset({"PN", "DA", "DT", "TM", "AS"})
_MAX_DEPTH = 32


@dataclass(frozen=True)
class SiteKey:
    """Names patients and UIDs anew: the same old name gets the same new one, and nobody without the key can follow.

    The key stays at the site, and with it the mapping: who has the key and the original files can compute it again.

    Attributes:
        secret: 32 random bytes.
    """

    secret: bytes

    def uid(self, old: str) -> str:
        """Return a UID under the root 2.25 (PS3.5, Annex B.2) in place of `old`."""
        return f"2.25.{int.from_bytes(self._digest('uid', old)[:16], 'big')}"

    def pseudonym(self, name: str) -> str:
        """Return 16 hex digits in place of a patient's identity."""
        return self._digest("patient", name)[:8].hex()

    def _digest(self, purpose: str, text: str) -> bytes:
        return hmac.digest(self.secret, f"{purpose}\x1f{text}".encode(errors="replace"), hashlib.sha256)


def site_key() -> SiteKey:
    """Return the site's key, made the first time in the cache folder and readable for its owner alone.

    Raises:
        DataError: the key cannot be read or written.
    """
    return _key_at(cache_folder() / KEY_FILE)


@cache
def _key_at(path: Path) -> SiteKey:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}.part")
        if not path.exists():
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
            try:
                os.link(fresh, path)  # of two processes at once, one wins and both read its key
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        secret = path.read_bytes()
    except OSError as error:
        raise DataError(f"the key {path} cannot be used ({error.strerror}): set WARDROUND_CACHE") from None
    if len(secret) != KEY_BYTES:
        raise DataError(f"the key {path} is damaged: remove it, and patients get new pseudonyms")
    return SiteKey(secret)


def deidentify(dataset: Dataset, key: SiteKey) -> Counter[str]:
    """Take from a header, in place, what the basic profile takes; sequences are descended.

    Removed: every attribute of Table E.1-1; private attributes; curves and overlays; whatever holds a person's name, a
    date, a time or an age. Replaced: UIDs and the patient's ID, by those of `key`. Kept against the table: names of
    regions of interest, which choose masks at the site and which nothing here passes on.

    Args:
        dataset: as read; its file meta information keeps only what says how to decode.
        key: the site's.

    Returns:
        How often each keyword was removed or replaced (``"private"`` for private attributes).

    Raises:
        DataError: sequences are nested deeper than any real file's.
    """
    done: Counter[str] = Counter()
    _strip(dataset, key, done, 0)
    meta = getattr(dataset, "file_meta", None)
    if meta is not None:
        for tag in list(meta.keys()):
            if tag not in (0x00020002, 0x00020010):  # SOP class and transfer syntax
                del meta[tag]
    if hasattr(dataset, "preamble"):
        dataset.preamble = b"\0" * 128
    return done


def _strip(dataset: Dataset, key: SiteKey, done: Counter[str], depth: int) -> None:
    from pydicom.datadict import keyword_for_tag

    if depth > _MAX_DEPTH:
        raise DataError("a DICOM header nests sequences too deeply: replace or remove the file")
    removed, replaced = _table()
    for tag in list(dataset.keys()):
        number, group = int(tag), int(tag) >> 16
        kind = _representation(dataset, number)
        if group % 2:
            done["private"] += 1
            del dataset[tag]
        elif number == PATIENT_ID:
            done["PatientID"] += 1
            dataset[tag].value = key.pseudonym(str(dataset[tag].value)) if dataset[tag].value else ""
        elif kind == "UI" and number in replaced:
            done[keyword_for_tag(number)] += 1
            _replace_uids(dataset, number, key)
        elif number == ROI_NAME:
            continue
        elif number in removed or group >> 8 in (0x50, 0x60) or kind in _ALWAYS_REMOVED:
            done[keyword_for_tag(number) or f"{number:08x}"] += 1
            del dataset[tag]
        elif kind == "SQ":
            for item in dataset[tag].value or ():
                _strip(item, key, done, depth + 1)


def _representation(dataset: Dataset, tag: int) -> str:
    from pydicom.datadict import dictionary_has_tag, dictionary_VR

    element = dataset.get_item(tag)
    kind = getattr(element, "VR", None)
    if kind and kind != "UN":
        return str(kind)
    return dictionary_VR(tag) if dictionary_has_tag(tag) else "UN"


def _replace_uids(dataset: Dataset, tag: int, key: SiteKey) -> None:
    value = dataset[tag].value
    if not value:
        return
    several = not isinstance(value, str)
    dataset[tag].value = [key.uid(str(one)) for one in value] if several else key.uid(str(value))


@cache
def _table() -> tuple[frozenset[int], frozenset[int]]:
    """Return the tags of Table E.1-1 that are removed, and the UIDs that are replaced."""
    from dicomanonymizer.dicom_anonymization_databases import dicomfields_2024b as table

    replaced = {_number(tag) for tag in (*table.U_TAGS, *table.X_Z_U_STAR_TAGS) if len(tag) == 2}
    removed = {_number(tag) for tag in table.ALL_TAGS if len(tag) == 2} - replaced
    return frozenset(removed), frozenset(replaced)


def _number(tag: tuple[int, int]) -> int:
    return (tag[0] << 16) | tag[1]
