"""SEAL's format as it is written and read here."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from wardround.errors import PlanError, RunError, WireError
from wardround.protect.lattice import LatticeKey
from wardround.protect.lattice_parameters import BFV, PRIME_SETS, LatticeParameters, choose, published_ckks
from wardround.protect.seal_bytes import MemoryFile, Ring, native_errors, ring

PARAMETERS = choose(16, 64)[0]


class Saved:
    """Stands for a SEAL object that saves these bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def save(self, path: str) -> None:
        Path(path).write_bytes(self.data)


@pytest.mark.parametrize("count", [0, 1, 4095, 4096])
def test_words_pass_through_a_plaintext(count: int) -> None:
    words = np.zeros(4096, np.uint64)
    words[:count] = np.random.default_rng(count).integers(1, 2**44, count)
    arithmetic = ring(PARAMETERS)
    with MemoryFile() as file:
        plain = arithmetic.load_plain(file, words)
        assert plain.coeff_count() == 4096
        assert np.array_equal(arithmetic.read_plain(file, plain), words)


def test_seal_refuses_a_plaintext_that_is_not_below_t() -> None:
    with MemoryFile() as file, pytest.raises(WireError, match="SEAL refuses to test it"), native_errors("test it"):
        ring(PARAMETERS).load_plain(file, np.full(4096, 2**44, np.uint64))


def test_residues_and_seeds_pass_through_a_ciphertext() -> None:
    arithmetic, rng = ring(PARAMETERS), np.random.default_rng(0)
    residues = rng.integers(0, PARAMETERS.primes[0], 2 * 4096, dtype=np.uint64)
    with MemoryFile() as file:
        full = arithmetic.read_full(file, arithmetic.load_full(file, residues))
        assert np.array_equal(full, residues)
        seeds = [rng.bytes(64), rng.bytes(64)]
        load = arithmetic.seed_loader(file)
        loaded = [load(seed) for seed in (seeds[0], seeds[0], seeds[1])]
        pairs = [arithmetic.read_full(file, cipher).reshape(2, 4096) for cipher in loaded]
    assert not any(pair[0].any() for pair in pairs)
    assert np.array_equal(pairs[0][1], pairs[1][1])
    assert not np.any(pairs[0][1] == pairs[2][1])


@pytest.mark.parametrize("parameters", [PARAMETERS, choose(16, 1000)[0], published_ckks(64)], ids=["1", "2", "ckks"])
def test_a_seed_gives_the_polynomial_that_encryption_used(parameters: LatticeParameters) -> None:
    arithmetic = ring(parameters)
    secret = arithmetic.secret_key(LatticeKey.new(parameters).secret)
    encryptor = arithmetic.seal.Encryptor(arithmetic.context, secret)
    with MemoryFile() as file:
        values = np.zeros(parameters.values_per_chunk, np.uint64 if parameters.scheme == BFV else np.float64)
        fresh = encryptor.encrypt_symmetric(arithmetic.load_plain(file, values))
        residues, seed = arithmetic.read_seeded(file, fresh)
        # SEAL's own way from the saved, seeded ciphertext to the whole one.
        fresh.save(file.write(b""))
        whole = arithmetic.seal.Ciphertext()
        whole.load(arithmetic.context, file.write(b""))
        expected = arithmetic.read_full(file, whole).reshape(2, -1)
        found = arithmetic.read_full(file, arithmetic.seed_loader(file)(seed)).reshape(2, -1)
    assert np.array_equal(expected[0], residues)
    assert np.array_equal(expected[1], found[1])


@pytest.mark.parametrize("weight", [1, 2, 19, 63])
@pytest.mark.parametrize("parameters", [PARAMETERS, choose(16, 1000)[0], published_ckks(64)], ids=["1", "2", "ckks"])
def test_a_ciphertext_times_a_weight_is_that_many_additions(parameters: LatticeParameters, weight: int) -> None:
    arithmetic, rng = ring(parameters), np.random.default_rng(0)
    primes = np.repeat(np.array([*parameters.data_primes, *parameters.data_primes], np.uint64), parameters.degree)
    residues = rng.integers(0, primes, dtype=np.uint64)
    with MemoryFile() as file:
        found = arithmetic.read_full(file, arithmetic.multiplier(weight)(arithmetic.load_full(file, residues)))
        doubled = arithmetic.read_full(file, arithmetic._doubled(arithmetic.load_full(file, residues), weight))
    expected = residues.astype(object) * weight % primes.astype(object)
    assert found.tolist() == doubled.tolist() == expected.tolist()


@pytest.mark.parametrize("bits", [2, 3, 5, 20])
def test_weights_that_a_plaintext_cannot_hold_are_multiplied_too(bits: int) -> None:
    parameters = LatticeParameters(BFV, 4096, PRIME_SETS[2], 2**20, bits)
    arithmetic = ring(parameters)
    residues = np.random.default_rng(0).integers(0, parameters.primes[0], 2 * 4096, dtype=np.uint64)
    half = 2 ** (bits - 1)
    for weight in (half - 1, half, half + 1, 2 * half - 1, 2 * half, 2 * half + 1, 2**20):
        with MemoryFile() as file:
            found = arithmetic.read_full(file, arithmetic.multiplier(weight)(arithmetic.load_full(file, residues)))
        assert np.array_equal(found, (residues.astype(object) * weight % parameters.primes[0]).astype(np.uint64))


def test_what_another_seal_saves_is_named() -> None:
    good = b"\x5e\xa1\x10\x04\x03\x00\x00\x00\x14" + bytes(7) + b"body"
    with MemoryFile() as file:
        assert file.save(Saved(good)) == b"body"
        for bad in (good + b"x", b"\0" + good[1:], good[:3] + b"\x05" + good[4:], good[:5] + b"\x07" + good[6:]):
            with pytest.raises(RunError, match=r"tenseal 0\.3\.18"):
                file.save(Saved(bad))
        arithmetic = ring(PARAMETERS)
        for read in (arithmetic.read_full, arithmetic.read_seeded):
            with pytest.raises(RunError, match=r"tenseal 0\.3\.18"):
                read(file, Saved(good))


def test_a_memory_file_leaves_nothing_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with MemoryFile() as file:
            file.write(b"secret")
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_files_in_memory_encryption_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(PlanError, match="Linux"):
        MemoryFile()


def test_parameters_that_seal_refuses_are_named() -> None:
    with pytest.raises(PlanError, match="SEAL refuses the lattice parameters"):
        Ring(LatticeParameters(BFV, 4096, (PRIME_SETS[2][0] - 2,), 1, 44))  # no prime


def test_a_ring_is_built_once() -> None:
    assert ring(PARAMETERS) is ring(choose(16, 64)[0])
