"""The peer: what Flower's strategies call to aggregate, flwr 1.22, on the same arrays."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

Results = list[tuple[list[Any], int]]


def load() -> dict[str, Callable[[Results, int], list[Any]]]:
    """Return name of a rule -> Flower's function of ``(arrays, examples)`` per site and the number of attackers.

    The one file is entered without the package around it, which would import gRPC and protobuf; of the names that it
    asks that package for, only types are needed on this path.

    Raises:
        ModuleNotFoundError: flwr is not installed.
    """
    found = importlib.util.find_spec("flwr")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("flwr is not installed: pip install --no-deps flwr==1.22.0")
    for name, members in {
        "flwr.common": ("FitRes", "NDArray", "NDArrays", "parameters_to_ndarrays"),
        "flwr.server.client_proxy": ("ClientProxy",),
    }.items():
        package = types.ModuleType(name)
        for member in members:
            setattr(package, member, list)
        sys.modules[name] = package
    path = Path(next(iter(found.submodule_search_locations))) / "server" / "strategy" / "aggregate.py"
    spec = importlib.util.spec_from_file_location("flower_aggregate", path)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"{path} cannot be read")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {
        "mean": lambda results, _: module.aggregate(results),
        "median": lambda results, _: module.aggregate_median(results),
        "trimmed mean": lambda results, malicious: module.aggregate_trimmed_avg(results, malicious / len(results)),
        "krum": lambda results, malicious: module.aggregate_krum(results, malicious, 0),
    }
