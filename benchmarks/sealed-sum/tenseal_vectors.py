"""TenSEAL's `ckks_vector` per tensor, with the calls of ``nvflare.app_opt.he`` and nothing of FLARE around them.

Run by ``run.py`` in a fresh process; prints JSON. Arguments: the model, the sizes of the primes with commas between
them, and ``symmetric`` or ``public``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tenseal as ts
from updates import EXAMPLES, SITES, Model, on_one_core, peak_bytes

from wardround.protect.quantise import integer_weights

WEIGHT_TOTAL = 64


def main(model_file: str, prime_bits: str, kind: str) -> None:
    """Encrypt at three sites, add, decrypt."""
    on_one_core()
    model = Model.read(Path(model_file))
    weights = integer_weights(EXAMPLES, WEIGHT_TOTAL)
    site, server = contexts([int(bits) for bits in prime_bits.split(",")], kind)
    found: dict[str, Any] = {"encrypt_s": [], "upload_bytes": []}
    uploads = {}
    for name in SITES:
        update = model.update(name)
        began = time.perf_counter()
        uploads[name] = encrypted(site, update, weights[name])
        found["encrypt_s"].append(time.perf_counter() - began)
        found["upload_bytes"].append(size(uploads[name]))
    found["aggregate_s"], sums = 0.0, dict[str, Any]()
    for name in SITES:
        upload = uploads.pop(name)
        began = time.perf_counter()
        add(server, sums, upload)
        found["aggregate_s"] += time.perf_counter() - began
    began = time.perf_counter()
    total = divided(sums, sum(weights.values()))
    found["aggregate_s"] += time.perf_counter() - began
    sums.clear()
    began = time.perf_counter()
    opened = decrypted(site, total, model.shapes)
    found["decrypt_s"] = time.perf_counter() - began
    errors = [float(np.max(np.abs(opened[name] - mean))) for name, mean in model.mean(weights)]
    found |= {"sum_bytes": size(total), "largest_error": max(errors), "error_unit": "absolute"}
    print(json.dumps({**found, **attached(site, len(model.shapes)), "peak_bytes": peak_bytes()}))


def contexts(prime_bits: list[int], kind: str) -> tuple[Any, Any]:
    """Make the context of the sites and that of the server (``nvflare/lighter/impl/he.py``)."""
    kinds = {"symmetric": ts.ENCRYPTION_TYPE.SYMMETRIC, "public": ts.ENCRYPTION_TYPE.ASYMMETRIC}
    context = ts.context(
        ts.SCHEME_TYPE.CKKS,
        poly_modulus_degree=8192,
        coeff_mod_bit_sizes=prime_bits,
        encryption_type=kinds[kind],
    )
    context.generate_relin_keys()
    context.global_scale = 2**40
    saved = [
        context.serialize(
            save_public_key=is_site, save_secret_key=is_site, save_galois_keys=False, save_relin_keys=True
        )
        for is_site in (True, False)
    ]
    return ts.context_from(saved[0]), ts.context_from(saved[1])


def encrypted(context: Any, update: Mapping[str, np.ndarray], weight: int) -> dict[str, bytes]:
    """Do what a site does before it sends (``model_encryptor.py``, ``decomposers.py``)."""
    vectors = {name: ts.ckks_vector(context, values.ravel() * np.float64(weight)) for name, values in update.items()}
    return {name: vector.serialize() for name, vector in vectors.items()}


def add(context: Any, sums: dict[str, Any], upload: Mapping[str, bytes]) -> None:
    """Add an upload at the server (``decomposers.py``, ``weighted_aggregation_helper.py``)."""
    vectors = {name: ts.ckks_vector_from(context, data) for name, data in upload.items()}
    for name, vector in vectors.items():
        sums[name] = sums[name] + vector if name in sums else vector


def divided(sums: Mapping[str, Any], total_weight: int) -> dict[str, bytes]:
    """Return what the server sends back (``weighted_aggregation_helper.py``, ``homomorphic_encrypt.py``)."""
    means = {name: vector * (1.0 / total_weight) for name, vector in sums.items()}
    return {name: vector.serialize() for name, vector in means.items()}


def decrypted(context: Any, total: Mapping[str, bytes], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Do what a site does with what it receives (``model_decryptor.py``), down to float32 tensors."""
    vectors = {name: ts.ckks_vector_from(context, data) for name, data in total.items()}
    key = context.secret_key()
    return {
        name: np.array(vector.decrypt(secret_key=key), np.float32).reshape(shapes[name])
        for name, vector in vectors.items()
    }


def attached(context: Any, num_tensors: int) -> dict[str, float]:
    """Return what ``decomposers.py`` adds: the whole context, with every tensor, written and read again."""
    began = time.perf_counter()
    data = context.serialize()
    written = time.perf_counter()
    ts.context_from(data)
    read = time.perf_counter()
    return {
        "context_bytes": len(data) * num_tensors,
        "context_write_s": (written - began) * num_tensors,
        "context_read_s": (read - written) * num_tensors,
    }


def size(pieces: Mapping[str, bytes]) -> int:
    """Return the bytes of all pieces."""
    return sum(map(len, pieces.values()))


if __name__ == "__main__":
    main(*sys.argv[1:])
