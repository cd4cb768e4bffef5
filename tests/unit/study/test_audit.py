"""A verified run folder: whatever is changed in it is named, also by who holds the coordinator's key."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny

from wardround.errors import InputError, LedgerError
from wardround.ledger.acknowledged import encode_acknowledged
from wardround.ledger.batch import encode_batch
from wardround.ledger.entries import DataUse, Entry, UpdateCommitment, Verdict, read_entry
from wardround.ledger.log import ACKNOWLEDGED_NAME, ENTRIES_NAME, MAGIC, Log
from wardround.protect.trust import Trust
from wardround.rounds.logbook.standing import SIGNED
from wardround.study.audit import audit
from wardround.study.folder import CHECKPOINT, LEDGER, RunFolder
from wardround.study.run import train

PLAN: dict[str, Any] = {
    "rounds": 1,
    "data": {"stride_px": 16, "sites": {"by": "iid", "sites": 3}},
    "protect": tiny.PIPELINES["packed and masked"],
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose three sites co-signed it."""
    return train(tiny.plan(**PLAN), tmp_path_factory.mktemp("whole") / "run", workers=0)


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy to tamper with, whose verifier kept the sites' keys."""
    shutil.copytree(whole, tmp_path / "run")
    shutil.copy(whole / "roster.json", tmp_path / "kept.json")
    return tmp_path / "run"


def verdict(run: Path, **known: Any) -> str:
    return audit(run, **{"keys": run.parent / "kept.json", **known}).verdict


def entries_of(run: Path) -> list[bytes]:
    with Log(run / LEDGER, read_only=True) as log:
        return list(log.entries())


def rewrite(run: Path, entries: list[bytes]) -> None:
    """Make the log anew with all its checks, as a coordinator can that holds the disk."""
    (run / LEDGER / ENTRIES_NAME).write_bytes(MAGIC + encode_batch(0, entries)[0])
    (run / LEDGER / ACKNOWLEDGED_NAME).write_bytes(encode_acknowledged(len(entries)))


def test_a_whole_run_holds(run: Path, whole: Path) -> None:
    found = audit(run, run.parent / "kept.json")
    assert found.remarks == ()
    assert found.endorsed[found.checkpoint.size].is_final
    assert found.endorsed[found.checkpoint.size].is_outlasting
    assert len(found.endorsed) == 3  # the opening, the round, the end
    assert all(one.is_final for one in found.endorsed.values())
    assert found.verdict.startswith("verified: run ")
    size = sum((run / LEDGER / name).stat().st_size for name in (ENTRIES_NAME, ACKNOWLEDGED_NAME, CHECKPOINT))
    assert size <= 20_480


def test_without_keys_it_only_agrees_with_itself(run: Path) -> None:
    assert audit(run).verdict.startswith("internally consistent only, since no keys were given")


def test_keys_may_be_those_that_a_site_trusts(run: Path, tmp_path: Path) -> None:
    held = json.loads((run / "roster.json").read_text())
    fingerprints = {site: found.fingerprint for site, found in _identities(held).items()}
    trust = tmp_path / "trust.toml"
    Trust("auditor", (), fingerprints).write(trust)
    assert verdict(run, keys=trust).startswith("verified")
    first, *_ = fingerprints
    Trust("auditor", (), {**fingerprints, first: "0" * 64}).write(trust)
    with pytest.raises(LedgerError, match="somebody else signed in its name"):
        verdict(run, keys=trust)
    Trust("auditor", (), {first: fingerprints[first]}).write(trust)
    with pytest.raises(LedgerError, match="does not know site"):
        verdict(run, keys=trust)


def _identities(held: dict[str, Any]) -> dict[str, Any]:
    from wardround.protect.identity import PublicIdentity

    return {site: PublicIdentity.from_bytes(bytes.fromhex(key)) for site, key in held["identities"].items()}


def flips(run: Path) -> Iterator[tuple[Path, int]]:
    """Yield every byte of the ledger's files."""
    for name in (ENTRIES_NAME, ACKNOWLEDGED_NAME, CHECKPOINT):
        path = run / LEDGER / name
        yield from ((path, at) for at in range(path.stat().st_size))


def refuse_flips(run: Path, places: list[tuple[Path, int]], rng: random.Random) -> None:
    for path, at in places:
        good = path.read_bytes()
        bad = bytearray(good)
        bad[at] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        with pytest.raises(LedgerError) as refusal:
            verdict(run)
        assert len(str(refusal.value)) > 20, (path.name, at)
        path.write_bytes(good)


def test_a_flipped_byte_of_the_ledger_is_named(run: Path) -> None:
    rng = random.Random(8)
    refuse_flips(run, rng.sample(list(flips(run)), 60), rng)
    assert verdict(run).startswith("verified")


@pytest.mark.slow
def test_every_flipped_byte_of_the_ledger_is_named(run: Path) -> None:
    refuse_flips(run, list(flips(run)), random.Random(9))
    assert verdict(run).startswith("verified")


def refuse_rewritten(run: Path, entries: list[bytes], control: list[bytes]) -> str:
    rewrite(run, entries)
    with pytest.raises(LedgerError) as refusal:
        verdict(run)
    rewrite(run, control)
    assert verdict(run).startswith("verified")
    return str(refusal.value)


def flipped_entries(entries: list[bytes]) -> Iterator[tuple[int, int]]:
    for index, entry in enumerate(entries):
        yield from ((index, at) for at in range(len(entry)))


def refuse_flipped_entries(run: Path, places: list[tuple[int, int]], rng: random.Random) -> None:
    good = entries_of(run)
    for index, at in places:
        entry = bytearray(good[index])
        entry[at] ^= 1 << rng.randrange(8)
        rewrite(run, [*good[:index], bytes(entry), *good[index + 1 :]])
        with pytest.raises(LedgerError):
            verdict(run)
    rewrite(run, good)


def test_a_byte_that_is_flipped_under_new_checksums_is_named(run: Path) -> None:
    rng = random.Random(10)
    refuse_flipped_entries(run, rng.sample(list(flipped_entries(entries_of(run))), 40), rng)
    assert verdict(run).startswith("verified")


@pytest.mark.slow
def test_every_byte_that_is_flipped_under_new_checksums_is_named(run: Path) -> None:
    refuse_flipped_entries(run, list(flipped_entries(entries_of(run))), random.Random(11))
    assert verdict(run).startswith("verified")


def refused(run: Path) -> str:
    """Return the sentence with which a run is refused; empty if it holds."""
    try:
        verdict(run)
    except LedgerError as error:
        return str(error)
    return ""


def changes(entries: list[bytes]) -> dict[str, list[bytes]]:
    """Return what somebody who can make the log anew may do to its entries, by name."""
    found = {}
    for index in range(len(entries)):
        found[f"delete {index}"] = entries[:index] + entries[index + 1 :]
        found[f"duplicate {index}"] = entries[: index + 1] + entries[index:]
        if index:
            found[f"swap {index}"] = [*entries[: index - 1], entries[index], entries[index - 1], *entries[index + 1 :]]
            found[f"truncate {index}"] = entries[:index]
    return found


def test_entries_cannot_be_deleted_swapped_doubled_or_cut_off(run: Path) -> None:
    good = entries_of(run)
    tried = changes(good)
    for name, entries in tried.items():
        rewrite(run, entries)
        assert refused(run), name
    rewrite(run, good)
    assert verdict(run).startswith("verified")
    assert len(tried) == 4 * len(good) - 2


OTHER = "5" * 64


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        (UpdateCommitment, {"digest": OTHER}, "not those that were signed"),
        (UpdateCommitment, {"size_bytes": 1}, "not those that were signed"),
        (Verdict, {"weight": 1}, "not those that were signed"),
        (DataUse, {"count": 1}, "not those that were signed"),
        (DataUse, {"root": OTHER}, "not those that were signed"),
    ],
    ids=lambda value: getattr(value, "kind", None) or str(value)[:24],
)
def test_an_entry_that_was_exchanged_for_a_legal_one_is_named(
    run: Path, kind: type[Entry], change: dict[str, Any], says: str
) -> None:
    good = entries_of(run)
    index = next(at for at, entry in enumerate(good) if isinstance(read_entry(entry), kind))
    values = {**json.loads(good[index]), **change}
    other = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert isinstance(read_entry(other), kind)
    assert says in refuse_rewritten(run, [*good[:index], other, *good[index + 1 :]], good)


def in_records(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def apply(run: Path) -> None:
        path = run / "rounds.jsonl"
        record = json.loads(path.read_text())
        change(record)
        path.write_text(json.dumps(record) + "\n")

    return apply


def in_file(name: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    def apply(run: Path) -> None:
        content = (run / name).read_bytes()
        assert old in content
        (run / name).write_bytes(content.replace(old, new, 1))

    return apply


def first(record: dict[str, Any]) -> dict[str, Any]:
    return next(iter(record["accepted"].values()))  # type: ignore[no-any-return]


def flip_model(run: Path) -> None:
    path = run / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


OUTSIDE: dict[str, tuple[Callable[[Path], None], str]] = {
    "model": (flip_model, "model.safetensors was changed"),
    "commitment": (
        in_records(lambda r: first(r).update(digest=OTHER)),
        "what an entry of an update in the",
    ),
    "verdict": (in_records(lambda r: first(r).update(weight=1)), "what an entry of a verdict in the ledger says"),
    "list": (in_records(lambda r: first(r).update(use_root=OTHER)), "what an entry of data use in the ledger says"),
    "no list": (in_records(lambda r: first(r).pop("use_root")), "round 0 in rounds.jsonl was changed"),
    "state": (in_records(lambda r: r.update(state_digest=OTHER)), "what an entry of an aggregate in the ledger says"),
    "broadcast": (in_records(lambda r: r.update(started=OTHER)), "what an entry of a broadcast in the ledger says"),
    "bytes": (in_records(lambda r: r.update(bytes_up=1)), "what the entry that closes a round in the ledger says"),
    "no digest": (in_records(lambda r: first(r).pop("digest")), "round 0 in rounds.jsonl was changed"),
    "no round": (lambda run: (run / "rounds.jsonl").write_text(""), "the ledger tells of 1 rounds, not 0"),  # type: ignore[dict-item,return-value]
    "plan": (in_file("plan.toml", b"seed = 1", b"seed = 2"), "plan.toml was changed"),
    "keys": (in_file("roster.json", b'"site-1"', b'"site-9"'), "roster.json was changed"),
    "summary": (in_file("summary.json", b'"model_sha256": "', b'"model_sha256": "0'), "summary.json was changed"),
}


@pytest.mark.parametrize("what", OUTSIDE)
def test_what_is_changed_beside_the_ledger_is_named(run: Path, what: str) -> None:
    change, says = OUTSIDE[what]
    change(run)
    with pytest.raises(InputError, match=says):
        verdict(run)


def test_a_rollback_is_caught_against_a_checkpoint_or_one_site_s_memory(run: Path, whole: Path) -> None:
    good = entries_of(run)
    exported = run.parent / "exported"
    shutil.copy(run / LEDGER / CHECKPOINT, exported)
    memories = [RunFolder(whole).store_root / f"site-{index}" / SIGNED for index in (1, 2, 3)]
    for kept in (exported, *memories):
        assert "which continue the" in verdict(run, checkpoint=kept)
    # The coordinator puts back everything as it was after the opening: its log, and the checkpoint signed then.
    opening = next(at for at, entry in enumerate(good) if b'"kind":"cosigned"' in entry)
    (run / LEDGER / CHECKPOINT).write_bytes(read_entry(good[opening]).note.to_bytes())  # type: ignore[attr-defined]
    rewrite(run, good[:opening])
    (run / "rounds.jsonl").write_text("")
    (run / "summary.json").unlink()
    assert verdict(run).startswith("verified")  # the control: by itself it looks like a run that has just begun
    for kept in (exported, *memories):
        with pytest.raises(LedgerError, match="the ledger was rolled back"):
            verdict(run, checkpoint=kept)


def test_a_ledger_of_other_keys_is_not_believed(run: Path, tmp_path: Path) -> None:
    """A coordinator that makes up sites of its own makes a ledger that agrees with itself."""
    other = train(tiny.plan(**PLAN), tmp_path / "other", workers=0)
    assert audit(other).verdict.startswith("internally consistent only")
    with pytest.raises(LedgerError, match="somebody else signed in its name"):
        audit(other, run.parent / "kept.json")


def test_a_run_without_keys_says_so(tmp_path: Path) -> None:
    plain = train(tiny.plan(**{**PLAN, "protect": []}), tmp_path / "run", workers=0)
    assert audit(plain).verdict.startswith("internally consistent only, since no site co-signs")
    with pytest.raises(LedgerError, match="no site co-signed this run"):
        audit(plain, tmp_path / "run" / "roster.json")
    in_file("ledger/checkpoint", b"\n", b"0\n")(plain)
    with pytest.raises(LedgerError, match="checkpoint was changed"):
        audit(plain)


def test_a_stranger_s_signature_is_named(run: Path) -> None:
    path = run / LEDGER / CHECKPOINT
    lines = path.read_text().splitlines(keepends=True)
    signature = next(line for line in lines if line.startswith("— site-3 "))
    path.write_text("".join([*lines, signature.replace("site-3", "site-4")]))
    with pytest.raises(LedgerError, match="signature of 'site-4' by a key that is not of this run"):
        verdict(run)


@pytest.mark.parametrize("name", ["ledger/entries.log", "ledger/acknowledged", "ledger/checkpoint", "roster.json"])
def test_a_missing_file_is_named(run: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(InputError, match=Path(name).name):
        verdict(run)
