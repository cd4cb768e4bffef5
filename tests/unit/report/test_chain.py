"""The chain of rounds on the page: who co-signed what, as the ledger has it; whatever is wrong with it is said."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pages import page

from wardround.errors import RunFolderError
from wardround.ledger.checkpoint import Checkpoint, run_origin
from wardround.ledger.entries import (
    AggregateDigest,
    Broadcast,
    Cosigned,
    Entry,
    ModelFinal,
    Rewound,
    RoundClosed,
    RunOpened,
)
from wardround.ledger.log import Log
from wardround.ledger.note_keys import COSIGNATURE, ED25519, ML_DSA_65, Key, key_name
from wardround.ledger.notes import Note
from wardround.protect.identity import Identity
from wardround.report import write_report
from wardround.study.run import train
from wardround.study.spec import parse

RUN = hashlib.sha256(b"a run").digest()
DIGEST = hashlib.sha256(b"something").hexdigest()
LOG_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SITES = ("brno", "cork", "dijon", "evora")


@pytest.fixture(scope="module")
def cosigned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table: dict[str, Any] = {
        "name": "slide",
        "rounds": 2,
        "data": {"source": "slide", "stride_px": 16},
        "model": {"width": 8},
        "training": {"steps": 1},
        "evaluation": {"every": 0, "bootstrap": 0},
        "ledger": {"cosign": "sites", "outlasting_every": 2},
    }
    return train(parse(table), tmp_path_factory.mktemp("cosigned") / "run", workers=0)


@pytest.fixture
def run(cosigned: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(cosigned, tmp_path / "run"))


class Forge:
    """Writes ledgers of its own making into a run folder, with keys of its own making."""

    def __init__(self, run: Path, sites: Sequence[str] = SITES, known: bool = True) -> None:
        self.run = run
        self.keys = {
            site: Identity(hashlib.sha256(b"1" + site.encode()).digest(), hashlib.sha256(b"2" + site.encode()).digest())
            for site in sites
        }
        shutil.rmtree(run / "ledger")
        self.log = Log(run / "ledger")
        held = {"run": RUN.hex(), "identities": {site: key.public.to_bytes().hex() for site, key in self.keys.items()}}
        (run / "roster.json").write_text(json.dumps(held))
        fingerprints = {site: key.public.fingerprint if known else "" for site, key in self.keys.items()}
        self.append(RunOpened(RUN.hex(), DIGEST, {"python": "3"}, fingerprints, self.log_key.to_text()))

    @property
    def log_key(self) -> Key:
        return Key(run_origin(RUN), ED25519, LOG_KEY.public_key().public_bytes_raw())

    def append(self, *entries: Entry) -> None:
        self.log.append([entry.to_bytes() for entry in entries])

    def sign(self, sites: Sequence[str], outlasting: Sequence[str] = ()) -> Note:
        """Sign the log as it is."""
        text = Checkpoint(run_origin(RUN), self.log.size, self.log.root()).text
        signatures = [self.log_key.sign(text, LOG_KEY.sign)]
        for site in sites:
            key = self.keys[site]
            signatures.append(Key(key_name(site), COSIGNATURE, key.public.ed25519).sign(text, key.sign_plain, 1))
        for site in outlasting:
            key = self.keys[site]
            sign = key.sign_plain_outlasting
            signatures.append(Key(key_name(site), ML_DSA_65, key.public.ml_dsa).sign(text, sign, 1))
        note = Note(text, tuple(signatures))
        (self.run / "ledger" / "checkpoint").write_bytes(note.to_bytes())
        return note

    def round(self, index: int) -> None:
        self.append(Broadcast(index, DIGEST), AggregateDigest(index, DIGEST), RoundClosed(index, 1, 1))


def summary_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return found


def said_at_the_end(run: Path) -> str:
    text = page(run).text
    return text[text.index("Failures and repairs") : text.index("What left the sites")]


def edit_ledger(run: Path, change: Mapping[str, Any]) -> None:
    summary = summary_of(run)
    summary["ledger"] |= change
    (run / "summary.json").write_text(json.dumps(summary))


def test_it_shows_every_round_and_who_signed_it(cosigned: Path, run: Path) -> None:
    said, text = summary_of(run)["ledger"], page(cosigned).text
    assert "The ledger does not hold" not in text
    assert f"{said['entries']} entries with root {said['root']}." in text
    assert "Its end is final: 4 of 4 sites signed it." in text
    assert "each site that signed it heard from every other one" in text
    for when, also in [("opening 5", "–"), ("round 0 21", "–"), ("round 1 37", "all"), ("end 39", "all")]:
        line = text[text.index(when) :][:90]
        assert f"all 4 sites {also} final" in line
    assert f"end 39 {said['root'][:16]}…" in text
    assert "wardround ledger verify RUN --keys" in text
    assert "Ledger written and co-signed" in text
    assert write_report(run).read_bytes() == (cosigned / "report.html").read_bytes()


def test_a_run_whose_sites_have_no_keys_says_that_nobody_signs(run: Path) -> None:
    forge = Forge(run, known=False)
    (run / "roster.json").unlink()
    forge.round(0)
    forge.sign(())
    text = page(run).text
    assert "4 entries with root" in text
    assert "Nobody co-signs it" in text
    assert "wardround ledger verify RUN" in text
    assert "Co-signed by" not in text


def test_missing_signatures_are_named(run: Path) -> None:
    forge = Forge(run)
    note = forge.sign(SITES)
    forge.append(Cosigned(note))
    forge.round(0)
    note = forge.sign(("brno", "cork"), outlasting=("cork",))
    forge.append(Cosigned(note))
    forge.round(1)
    note = forge.sign(("brno", "cork", "dijon"), outlasting=("brno", "cork"))
    forge.append(Cosigned(note), ModelFinal(DIGEST))
    forge.sign(("dijon", "evora"))
    edit_ledger(run, {"confirmed": ["dijon"]})
    text = page(run).text
    assert "2 of 4, without dijon and evora 1 of 4 not final" in text
    assert "3 of 4, without evora 2 of 4 final" in text
    assert "Its end is not final: brno and cork did not sign it" in text
    assert "The coordinator has no word of evora" in text


def test_a_run_that_stopped_and_went_back_says_so(run: Path) -> None:
    forge = Forge(run)
    for index in range(2):
        forge.append(Cosigned(forge.sign(SITES)))
        forge.round(index)
    forge.append(Cosigned(forge.sign(SITES)), Rewound(1))
    forge.round(1)
    assert "its last entries are under no checkpoint, although the run has ended" in page(run).text
    summary = summary_of(run)
    kept = {key: summary[key] for key in ("schema", "name", "plan_digest", "seed", "versions")}
    (run / "summary.json").write_text(json.dumps({**kept, "status": "failed", "reason": "it was killed"}))
    unsigned = page(run).text
    assert "The run went back 1 time, and made it anew from round 1." in unsigned
    assert "under no checkpoint yet" in unsigned
    assert "round 1 1" not in unsigned
    forge.sign(SITES)
    signed = page(run).text
    assert "The run has not ended in it." in signed
    assert f"round 1 {forge.log.size} " in signed


def test_what_went_wrong_at_the_end_is_a_failure_of_the_run(run: Path) -> None:
    assert "None: every site that was asked answered well" in said_at_the_end(run)
    edit_ledger(run, {"events": ["site cork did not co-sign 37 entries: it was away"]})
    assert "end – site cork did not co-sign 37 entries: it was away" in said_at_the_end(run)


def test_a_long_chain_is_folded(run: Path) -> None:
    forge = Forge(run, ("brno", "cork"))
    for index in range(30):
        forge.append(Cosigned(forge.sign(("brno", "cork"))))
        forge.round(index)
    forge.sign(("brno", "cork"))
    text = page(run).text
    assert "7 more checkpoints" in text
    assert text.count(" all 2 sites – final") == 31


def test_whatever_a_ledger_says_stays_text(run: Path) -> None:
    hostile = "</code><script>alert('x')</script>&"
    before = {tag for tag, _ in page(run).tags}
    forge = Forge(run, (hostile, "brno", "cork"))
    forge.round(0)
    forge.sign(("brno", "cork"))
    found = page(run)
    assert {tag for tag, _ in found.tags} <= before
    assert f"2 of 3, without {hostile}" in found.text


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def of_another_run(run: Path) -> None:
    note = Note.from_bytes((run / "ledger" / "checkpoint").read_bytes())
    other = Note(note.text.replace("wardround/", "<script>/"), note.signatures)
    (run / "ledger" / "checkpoint").write_bytes(other.to_bytes())


def without_coordinator(run: Path) -> None:
    note = Note.from_bytes((run / "ledger" / "checkpoint").read_bytes())
    kept = tuple(one for one in note.signatures if not one.name.startswith("wardround/"))
    (run / "ledger" / "checkpoint").write_bytes(Note(note.text, kept).to_bytes())


def with_keys_of_others(run: Path) -> None:
    held = json.loads((run / "roster.json").read_text())
    held["identities"]["north-east"] = Identity.new().public.to_bytes().hex()
    (run / "roster.json").write_text(json.dumps(held))


def rolled_back(run: Path) -> None:
    forge = Forge(run)
    forge.round(0)
    later = forge.sign(SITES)
    Forge(run).sign(SITES)
    (run / "ledger" / "checkpoint").write_bytes(later.to_bytes())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda run: shutil.rmtree(run / "ledger"), "This folder holds no ledger"),
        (lambda run: flipped(run / "ledger" / "entries.log"), "is damaged"),
        (lambda run: (run / "ledger" / "entries.log").unlink(), "The ledger does not hold"),
        (lambda run: (run / "ledger" / "entries.log").write_bytes(b"x" * 40), "The ledger does not hold"),
        (lambda run: (run / "ledger" / "acknowledged").unlink(), "acknowledged is missing or damaged"),
        (lambda run: (run / "ledger" / "checkpoint").unlink(), "its last checkpoint is missing"),
        (lambda run: (run / "ledger" / "checkpoint").write_bytes(b"\xff\n\n"), "The ledger does not hold"),
        (lambda run: flipped(run / "ledger" / "checkpoint"), "The ledger does not hold"),
        (of_another_run, "is of no run of this package"),
        (without_coordinator, "is not signed by the coordinator"),
        (with_keys_of_others, "are not those that its first entry names"),
        (rolled_back, "is not of the entries that are there"),
        (lambda run: (run / "roster.json").unlink(), "roster.json, which holds the public keys of its sites, is mis"),
        (lambda run: (run / "roster.json").write_text("[" * 9999), "roster.json does not hold"),
        (lambda run: (run / "roster.json").write_text('{"identities": {"a": "00"}}'), "roster.json does not hold"),
    ],
)
def test_a_ledger_that_does_not_hold_is_one_sentence_on_a_page_that_is_made(
    run: Path, damage: Callable[[Path], None], said: str
) -> None:
    damage(run)
    found = page(run)
    assert said in found.text
    assert "Co-signed by" not in found.text
    assert "Results on the test parts" in found.text
    assert str(run.parent) not in (run / "report.html").read_text()
    assert "script" not in {tag for tag, _ in found.tags}


def test_a_file_in_place_of_the_ledger_is_said(run: Path) -> None:
    shutil.rmtree(run / "ledger")
    (run / "ledger").write_text("nothing")
    assert "The ledger" in page(run).text


def test_an_empty_ledger_is_that_of_a_run_that_never_began(run: Path) -> None:
    shutil.rmtree(run / "ledger")
    Log(run / "ledger").close()
    assert "The ledger is empty" in page(run).text


@pytest.mark.parametrize("change", [{"confirmed": 3}, {"confirmed": [1]}, {"confirmed": None}, {"events": [{}]}])
def test_a_summary_that_contradicts_itself_is_refused(run: Path, change: dict[str, Any]) -> None:
    edit_ledger(run, change)
    with pytest.raises(RunFolderError, match=r"summary\.json is damaged"):
        write_report(run)


def test_a_folder_of_an_older_version_has_a_page(run: Path) -> None:
    summary = summary_of(run)
    del summary["ledger"]
    (run / "summary.json").write_text(json.dumps(summary))
    text = page(run).text
    assert "Its end is final" in text
    assert "As the coordinator says" not in text
