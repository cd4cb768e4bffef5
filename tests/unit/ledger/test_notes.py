"""Signed notes: published vectors, one way to write them, and what keys make of them."""

from __future__ import annotations

import hashlib
import random
from base64 import b64encode
from urllib.parse import unquote

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from ledger_sites import KEYS, LOG, NAMES, ORIGIN, TIME_S, tampered

from wardround.errors import LedgerError
from wardround.ledger.cosign import Signer
from wardround.ledger.note_keys import (
    COSIGNATURE,
    ED25519,
    MAX_TIME_S,
    ML_DSA_65,
    Key,
    Signature,
    from_base64,
    key_name,
    to_base64,
)
from wardround.ledger.notes import MAX_NOTE_BYTES, MAX_SIGNATURES, Note

# The example of c2sp.org/signed-note (v1.1.0).
SPEC_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_NOTE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)

# golang.org/x/mod, sumdb/note/note_test.go.
PETER_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SEED = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"  # the type and the private key
ENOCH_KEY = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)

# A checkpoint of a Certificate Transparency log (staging, 2026) with the cosignatures of four public witnesses.
WITNESSED = """\
arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
"""  # noqa: E501
WITNESS_KEYS = (
    "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f",
    "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
    "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
)

TEXT = f"{ORIGIN}\n3\n{to_base64(hashlib.sha256(b'root').digest())}\n"
NORTH = KEYS[NAMES[1]]
SIGNERS = {"Ed25519": LOG, "cosignature": NORTH.signer, "ML-DSA-65": NORTH.outlasting}


def read(text: str) -> Note:
    return Note.from_bytes(text.encode())


def test_the_example_of_signed_note() -> None:
    key, note = Key.from_text(SPEC_KEY), read(SPEC_NOTE)
    assert key.to_text() == SPEC_KEY
    assert key.key_id.hex() == "530d903a"
    assert note.verified([key]) == (key,)
    assert note.to_bytes().decode() == SPEC_NOTE


def test_the_notes_of_the_go_implementation() -> None:
    peter, enoch = Key.from_text(PETER_KEY), Key.from_text(ENOCH_KEY)
    note = read(f"{GO_TEXT}\n{PETER_LINE}{ENOCH_LINE}")
    assert note.text == GO_TEXT
    assert note.verified([peter]) == (peter,)
    assert note.strangers([peter]) == ("EnochRoot",)
    assert note.verified([enoch, peter]) == (peter, enoch)
    assert note.verified([]) == ()
    # Ed25519 signatures are made in one way, so that ours are theirs.
    private = Ed25519PrivateKey.from_private_bytes(from_base64(PETER_SEED)[1:])
    assert peter.sign(GO_TEXT, private.sign).line == PETER_LINE


def test_cosignatures_of_public_witnesses() -> None:
    note, keys = read(WITNESSED), [Key.from_text(text) for text in WITNESS_KEYS]
    assert note.to_bytes().decode() == WITNESSED
    assert note.verified(keys) == tuple(keys)
    # The log's own other signature is an RFC 6962 one, of type 0x05, which is not read here.
    assert note.strangers(keys) == ("arche2025h1.staging.ct.transparency.dev",)
    by_name = {signature.name: signature for signature in note.signatures}
    assert {key.time_s(by_name[key.name]) for key in keys[1:]} == {1779573024}
    assert keys[0].time_s(note.signatures[1]) is None
    changed = read(WITNESSED.replace("1432088532", "1432088533"))
    for key in keys:
        with pytest.raises(LedgerError, match="does not fit"):
            changed.verified([key])


@pytest.mark.parametrize(
    "bad",
    [
        # After golang.org/x/mod, sumdb/note/note_test.go.
        GO_TEXT,
        GO_TEXT + "\n",
        GO_TEXT + "\n" + PETER_LINE[:-1],
        "\x01" + GO_TEXT + "\n" + PETER_LINE,
        GO_TEXT + "\n" + PETER_LINE.replace("PeterNeumann", "Bad Name"),
        GO_TEXT + "\n" + PETER_LINE + "Unexpected line.\n",
        GO_TEXT + "\n" + PETER_LINE * 101,
        # And what has more than one way to be written.
        GO_TEXT + "\n" + PETER_LINE + PETER_LINE,
        GO_TEXT + "\n" + PETER_LINE + "\n",
        GO_TEXT + PETER_LINE,
        GO_TEXT.strip() + "\n" + PETER_LINE,
        GO_TEXT + "\n" + PETER_LINE.replace("\n", "\r\n"),
        GO_TEXT + "\n" + PETER_LINE.replace("— ", "- "),
        GO_TEXT + "\n" + PETER_LINE.replace("— ", " — "),
        GO_TEXT + "\n" + PETER_LINE.replace("=", ""),
        GO_TEXT + "\n" + PETER_LINE.replace("nAM=", "nAN="),
        GO_TEXT + "\n" + PETER_LINE.replace("PeterNeumann", ""),
        GO_TEXT + "\n" + PETER_LINE.replace("PeterNeumann", "Peter+Neumann"),
        GO_TEXT + "\n" + PETER_LINE.replace("PeterNeumann", "Peter\u2003Neumann"),
        GO_TEXT + "\n" + PETER_LINE.replace("PeterNeumann", "P" * 513),
        GO_TEXT + "\n" + "— PeterNeumann x08gow==\n",  # a key ID and nothing behind it
        GO_TEXT + "\n" + "— PeterNeumann \n",
        "",
        "\n\n",
        "\n\n" + "x" * MAX_NOTE_BYTES,
    ],
)
def test_what_is_no_note_or_written_otherwise_is_refused(bad: str) -> None:
    with pytest.raises(LedgerError):
        read(bad)


def test_no_utf8_is_no_note() -> None:
    with pytest.raises(LedgerError, match="UTF-8"):
        Note.from_bytes(b"\xff" + (GO_TEXT + "\n" + PETER_LINE).encode())


def test_a_signature_by_a_known_key_that_does_not_fit_refuses_the_note() -> None:
    peter = Key.from_text(PETER_KEY)
    for damaged in (
        read(f"{GO_TEXT}\n{PETER_LINE[:60]}ABCD{PETER_LINE[60:]}"),  # of another length
        read(f"{GO_TEXT}\n{PETER_LINE.replace('JkuB', 'JkuC')}"),
        read(f"{GO_TEXT.replace('answer', 'problem')}\n{PETER_LINE}"),
    ):
        with pytest.raises(LedgerError, match="'PeterNeumann' does not fit"):
            damaged.verified([peter])
    # Under another name or another key ID it is a stranger's.
    for other in (PETER_LINE.replace("PeterNeumann", "CarmenSandiego"), PETER_LINE.replace("x08g", "xxxx")):
        assert read(f"{GO_TEXT}\n{other}").verified([peter]) == ()


def test_manglings_of_a_key_are_refused() -> None:
    for text in (SPEC_KEY, PETER_KEY, NORTH.signer.key.to_text()):
        key = Key.from_text(text)
        for begin in range(len(text)):
            for end in range(begin + 1, len(text) + 1):
                if (begin, end) != (0, len(text)):
                    with pytest.raises(LedgerError):
                        Key.from_text(text[begin:end])
        for at in range(len(text)):
            with pytest.raises(LedgerError):
                Key.from_text(text[:at] + chr(ord(text[at]) + 1) + text[at + 1 :])
        assert Key.from_text(text) == key
    for bad in (
        # golang.org/x/mod: a key too long, and an unknown kind, both with a key ID that fits.
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        PETER_KEY.replace("c74f20a3", "C74F20A3"),
        PETER_KEY + "\n",
        "+" + PETER_KEY,
        "",
    ):
        with pytest.raises(LedgerError):
            Key.from_text(bad)


def test_key_ids_follow_the_format() -> None:
    name, public = key_name(NORTH.site).encode(), NORTH.public
    assert NORTH.signer.key.key_id == hashlib.sha256(name + b"\n\x04" + public[0]).digest()[:4]
    private_kind = b"\n\xffwardround/ml-dsa-65-cosignature/v1"
    assert NORTH.outlasting.key.key_id == hashlib.sha256(name + private_kind + public[1]).digest()[:4]
    for signer in SIGNERS.values():
        assert Key.from_text(signer.key.to_text()) == signer.key


@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS)
def test_signatures_hold_for_their_text_alone(signer: Signer) -> None:
    key, sign = signer.key, signer.sign
    signature = key.sign(TEXT, sign, TIME_S)
    assert key.holds(TEXT, signature)
    assert not key.holds(TEXT.replace("3", "4"), signature)
    assert key.time_s(signature) == (None if key.scheme is ED25519 else TIME_S)
    for at in {*range(0, len(signature.value), 1 + len(signature.value) // 80), len(signature.value) - 1}:
        value = bytearray(signature.value)
        value[at] ^= 1
        assert not key.holds(TEXT, Signature(signature.name, signature.key_id, bytes(value)))
    for value in (signature.value[:-1], signature.value + b"\0", signature.value[1:], b"\0"):
        assert not key.holds(TEXT, Signature(signature.name, signature.key_id, value))


def test_the_signed_messages_are_those_of_the_formats() -> None:
    key, public = NORTH.signer.key, NORTH.ed25519.public_key()
    value = key.sign(TEXT, NORTH.ed25519.sign, TIME_S).value
    assert value[:8] == TIME_S.to_bytes(8, "big")
    public.verify(value[8:], f"cosignature/v1\ntime {TIME_S}\n{TEXT}".encode())
    KEYS[ORIGIN].ed25519.public_key().verify(LOG.key.sign(TEXT, LOG.sign).value, TEXT.encode())
    value = NORTH.outlasting.key.sign(TEXT, NORTH.ml_dsa.sign, TIME_S).value
    message = f"wardround/ml-dsa-65-cosignature/v1\ntime {TIME_S}\n{TEXT}".encode()
    NORTH.ml_dsa.public_key().verify(value[8:], message)


def test_one_kind_of_signature_does_not_stand_in_for_another() -> None:
    """The same Ed25519 key under type 0x01 and 0x04, and a cosignature presented as a note signed by the log."""
    plain = Key(key_name(NORTH.site), ED25519, NORTH.public[0])
    cosignature = NORTH.signer.key.sign(TEXT, NORTH.ed25519.sign, TIME_S)
    assert plain.key_id != cosignature.key_id
    assert not plain.holds(TEXT, Signature(plain.name, plain.key_id, cosignature.value[8:]))
    disguised = f"cosignature/v1\ntime {TIME_S}\n{TEXT}"
    with_time = Signature(plain.name, NORTH.signer.key.key_id, bytes(8) + plain.sign(TEXT, NORTH.ed25519.sign).value)
    assert not NORTH.signer.key.holds(TEXT, with_time)
    # A note whose text is that message verifies under type 0x01; it is no checkpoint of a run, which is all we open.
    assert plain.holds(disguised, Signature(plain.name, plain.key_id, cosignature.value[8:]))


def test_a_signer_with_another_key_or_an_impossible_time_is_refused() -> None:
    with pytest.raises(LedgerError, match="another key"):
        NORTH.signer.key.sign(TEXT, LOG.sign, TIME_S)
    for time_s in (-1, MAX_TIME_S + 1):
        with pytest.raises(LedgerError, match="time"):
            NORTH.signer.key.sign(TEXT, NORTH.signer.sign, time_s)
    key, latest = NORTH.signer.key, NORTH.signer.key.sign(TEXT, NORTH.signer.sign, MAX_TIME_S)
    assert key.holds(TEXT, latest)
    beyond = NORTH.ed25519.sign(f"cosignature/v1\ntime {MAX_TIME_S + 1}\n{TEXT}".encode())
    late = Signature(key.name, key.key_id, (MAX_TIME_S + 1).to_bytes(8, "big") + beyond)
    assert not key.holds(TEXT, late)
    assert not key.holds(TEXT, Signature("south", key.key_id, latest.value))
    assert not key.holds(TEXT, Signature(key.name, LOG.key.key_id, latest.value))


@given(st.text(min_size=1, max_size=40).filter(lambda name: name.isprintable()))
def test_every_site_name_has_a_key_name_of_its_own(site: str) -> None:
    name = key_name(site)
    assert Key(name, COSIGNATURE, NORTH.public[0]).name == name
    assert name.isascii()
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~%")
    assert unquote(name) == site


@given(st.lists(st.sampled_from(NAMES), min_size=1, unique=True), st.randoms())
def test_signatures_come_in_one_order(sites: list[str], shuffler: random.Random) -> None:
    lines = [KEYS[site].signer.key.sign(TEXT, KEYS[site].signer.sign, TIME_S) for site in sites]
    first = Note(TEXT, (LOG.key.sign(TEXT, LOG.sign),))
    note = first.signed(lines)
    shuffler.shuffle(lines)
    assert first.signed(lines[:1]).signed(lines) == note
    assert Note.from_bytes(note.to_bytes()) == note
    assert len(note.signatures) == len(sites) + 1


def test_limits_of_a_note() -> None:
    lines = [Signature(f"w{index}", bytes(4), b"x") for index in range(MAX_SIGNATURES)]
    assert Note.from_bytes(Note("text\n", tuple(lines)).to_bytes()).signatures == tuple(lines)
    with pytest.raises(LedgerError, match="1 to 1024"):
        Note("text\n", ())
    with pytest.raises(LedgerError, match="1 to 1024"):
        Note("text\n", (*lines, Signature("more", bytes(4), b"x")))
    data = b"text\n\n" + "".join(line.line for line in (*lines, Signature("more", bytes(4), b"x"))).encode()
    with pytest.raises(LedgerError):
        Note.from_bytes(data)
    with pytest.raises(LedgerError, match="limit"):
        Note("x" * MAX_NOTE_BYTES + "\n", tuple(lines)).to_bytes()
    # What a run of 255 sites needs at its end: two signatures of each.
    big = [Signature(f"site{index}", bytes(4), bytes(8 + 3309)) for index in range(255)]
    small = [Signature(f"site{index}", b"1234", bytes(72)) for index in range(255)]
    assert len(Note("text\n", (*big, *small)).to_bytes()) < MAX_NOTE_BYTES


def test_texts_with_empty_lines_and_of_all_letters() -> None:
    for text in (
        "\n",
        "\n\n",
        "a\n\n\nb\n",
        "Ognuno sta solo\n\ned è subito sera.\n",
        "— north AAAAAAA=\n",
        "\x7f\u2028\n",
    ):
        note = Note(text, (LOG.key.sign(text, LOG.sign),))
        assert Note.from_bytes(note.to_bytes()) == note
        assert note.verified([LOG.key])
    for text in ("", "a", "\t\n", "\0\n", "\ud800\n"):
        with pytest.raises(LedgerError):
            Note(text, (Signature("a", bytes(4), b"x"),))


def good_notes() -> list[bytes]:
    return [SPEC_NOTE.encode(), f"{GO_TEXT}\n{PETER_LINE}{ENOCH_LINE}".encode(), WITNESSED.encode()]


def good_keys() -> list[bytes]:
    return [text.encode() for text in (SPEC_KEY, PETER_KEY, *WITNESS_KEYS, NORTH.outlasting.key.to_text())]


def fuzz_notes(count: int) -> int:
    """Read damaged notes and keys; return how many notes verified all the same."""
    keys, verified = [Key.from_text(text) for text in (SPEC_KEY, PETER_KEY, ENOCH_KEY, *WITNESS_KEYS)], 0
    for data in tampered(good_notes(), count, seed=1):
        try:
            note = Note.from_bytes(data)
        except LedgerError:
            continue
        assert note.to_bytes() == data
        try:
            signed = note.verified(keys)
        except LedgerError:
            continue
        if signed:
            verified += 1
            assert note.text in {GO_TEXT, "This is an example message.\n", WITNESSED.rpartition("\n\n")[0] + "\n"}
    return verified


def fuzz_keys(count: int) -> None:
    for data in tampered(good_keys(), count, seed=2):
        try:
            text = data.decode("utf-8", "surrogateescape")
            assert Key.from_text(text).to_text() == text
        except LedgerError:
            continue


def test_damaged_notes_and_keys_give_our_error_and_nothing_else() -> None:
    assert fuzz_notes(10_000) > 0
    fuzz_keys(10_000)


@pytest.mark.slow
def test_a_hundred_thousand_damaged_notes_and_keys() -> None:
    fuzz_notes(100_000)
    fuzz_keys(100_000)


def test_base64_in_one_way() -> None:
    for data in (b"", b"a", b"ab", b"abc"):
        assert from_base64(to_base64(data)) == data == from_base64(b64encode(data).decode())
    for bad in ("YQ", "YR==", "YQ==\n", " YQ==", "YQ=", "Y-_=", "YWI", "é", "=", "YQ==YQ=="):
        with pytest.raises(LedgerError, match="base64"):
            from_base64(bad)
    assert ML_DSA_65.identifier[0] == 0xFF
