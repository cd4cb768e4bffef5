"""Plans as text: TOML tables in, a `Plan` out, and back."""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from wardround.aggregate import AGGREGATORS
from wardround.algorithms import ALGORITHMS, Training
from wardround.algorithms.defences import DEFENCES, Undefended
from wardround.algorithms.server import SERVERS
from wardround.attacks.poison import POISONS
from wardround.data.catalogue import SOURCES, Manifest, Source
from wardround.data.degradations import DEGRADATIONS
from wardround.data.harmonise import Harmonise
from wardround.data.intensity import INTENSITIES
from wardround.data.probe import ProbeShare
from wardround.data.sites import RULES, Parts
from wardround.errors import PlanError
from wardround.privacy import Privacy
from wardround.protect.pipeline import STAGES, Pipeline
from wardround.rounds.evaluation import Evaluation
from wardround.rounds.groups import Groups
from wardround.rounds.ledger_rules import LedgerRules
from wardround.rounds.plan import DataPlan, Plan
from wardround.rounds.split.rules import SplitRules
from wardround.screen import SCREENS
from wardround.study.five_keys import FIVE_KEYS, from_five_keys
from wardround.tasks import TASKS, Classify, Restore, TaskSpec
from wardround.tasks.models import MODELS
from wardround.tasks.start import Start

Table = Mapping[str, Any]

CHOICES: dict[str, tuple[str, Mapping[str, type[Any]], str]] = {
    "data": ("source", SOURCES, "slide"),
    "data.sites": ("by", RULES, "natural"),
    "data.intensity": ("by", INTENSITIES, "as_stored"),
    "task": ("name", TASKS, "classification"),
    "task.degradation": ("by", DEGRADATIONS, "photon_noise"),
    "model": ("name", MODELS, "small_cnn"),
    "algorithm": ("name", ALGORITHMS, "fedavg"),
    "server": ("name", SERVERS, "sgd"),
    "aggregator": ("name", AGGREGATORS, "mean"),
    "defence": ("name", DEFENCES, "none"),
    "protect": ("stage", STAGES, ""),
    "screen": ("name", SCREENS, ""),
    "attack": ("kind", POISONS, ""),
}
"""Table -> the key that chooses, what may be chosen, and the default."""

_TOP = tuple(f.name for f in dataclasses.fields(Plan) if f.type in ("str", "int", "float"))
_OPENER = "open_at"
_STAGES = "protect"
_PRIVACY = "privacy"
_START = "start"
_SPLIT = "split"
_TASK = "task"
_DEFENCE = "defence"
_DEGRADATION = "task.degradation"
_SCREENS = "screen"
_ATTACKS = "attack"
_PROBE = "probe"
_GROUPS = "groups"
_TABLES = ("data", "model", "algorithm", "training", "server", "aggregator", "evaluation", "ledger")


def load(path: Path) -> Plan:
    """Read a plan from a ``.toml`` file or the five-key ``.json``.

    Raises:
        PlanError: the file is missing, is no TOML or JSON, or does not describe a plan.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise PlanError(f"{path} does not exist: wardround init writes a plan to start from") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{path} cannot be read: {error}") from None
    try:
        table = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise PlanError(f"{path} is not valid {path.suffix.lstrip('.').upper() or 'TOML'}: {error}") from None
    if not isinstance(table, dict):
        raise PlanError(f"{path} holds no table of settings")
    if path.suffix == ".json" and set(table) & set(FIVE_KEYS):
        table = from_five_keys(table)
    return parse({"name": path.stem, **table})


def parse(table: Table) -> Plan:
    """Build a plan from nested tables; every unknown key, wrong type and value out of range is refused.

    Raises:
        PlanError: one sentence that names the table and the key.
    """
    single = (*_TABLES, _PRIVACY, _START, _TASK, _SPLIT, _PROBE, _GROUPS, _DEFENCE)
    _refuse_unknown("", table, (*_TOP, _OPENER, _STAGES, _SCREENS, _ATTACKS, *single))
    if "name" not in table:
        raise PlanError("a plan needs a name: it names the run folder")
    for name in single:
        if not isinstance(table.get(name, {}), Mapping):
            raise PlanError(f"[{name}] must be a table of settings, not {table[name]!r}")
    data = dict(table.get("data", {}))
    sites, parts, split_seed = data.pop("sites", {}), data.pop("parts", {}), data.pop("split_seed", 0)
    if not (isinstance(sites, Mapping) and isinstance(parts, Mapping) and type(split_seed) is int):
        raise PlanError("[data.sites] and [data.parts] must be tables and data.split_seed an integer")
    components = {
        "data": DataPlan(
            source=_source(data),
            sites=_choose("data.sites", sites),
            parts=_fill("data.parts", Parts, parts),
            split_seed=split_seed,
        ),
        "training": _fill("training", Training, table.get("training", {})),
        "evaluation": _fill("evaluation", Evaluation, table.get("evaluation", {})),
        "ledger": _fill("ledger", LedgerRules, table.get("ledger", {})),
    }
    for name in ("model", "algorithm", "server", "aggregator"):
        components[name] = _choose(name, table.get(name, {}))
    components["privacy"] = _fill(_PRIVACY, Privacy, table[_PRIVACY]) if _PRIVACY in table else None
    components["start"] = _fill(_START, Start, table[_START]) if _START in table else None
    components["task"] = _task(dict(table.get(_TASK, {})))
    components["split"] = _fill(_SPLIT, SplitRules, table[_SPLIT]) if _SPLIT in table else None
    defence = _choose(_DEFENCE, table.get(_DEFENCE, {}))
    components[_DEFENCE] = None if defence == Undefended() else defence  # as in plans that know of none
    components["pipeline"] = _pipeline(table.get(_STAGES, []), table.get(_OPENER, "auto"))
    components["screens"] = _chosen(_SCREENS, table.get(_SCREENS, []))
    components["probe"] = _fill(_PROBE, ProbeShare, table[_PROBE]) if _PROBE in table else None
    components[_GROUPS] = _fill(_GROUPS, Groups, table[_GROUPS]) if _GROUPS in table else None
    components["attacks"] = _chosen(_ATTACKS, table.get(_ATTACKS, [])) or None
    top = _typed("", _Top, {key: value for key, value in table.items() if key in _TOP})
    return Plan(**components, **{key: value for key, value in vars(top).items() if value is not None})


def _source(table: dict[str, Any]) -> Source:
    if SOURCES.get(table.get(CHOICES["data"][0], "")) is not Manifest:
        return _choose("data", table, extra=("sites", "parts", "split_seed"))  # type: ignore[no-any-return]
    harmonise, intensity = table.pop("harmonise", {}), table.pop("intensity", {})
    if not (isinstance(harmonise, Mapping) and isinstance(intensity, Mapping)):
        raise PlanError("[data.harmonise] and [data.intensity] must be tables of settings")
    source: Manifest = _choose("data", table, extra=("sites", "parts", "split_seed", "harmonise", "intensity"))
    return dataclasses.replace(
        source,
        harmonise=_fill("data.harmonise", Harmonise, harmonise),
        intensity=_choose("data.intensity", intensity),
    )


def _task(table: dict[str, Any]) -> TaskSpec | None:
    if TASKS.get(table.get(CHOICES[_TASK][0], "")) is not Restore:
        chosen: TaskSpec = _choose(_TASK, table)
        return None if chosen == Classify() else chosen  # as in plans that know of no other task
    degradations = _chosen(_DEGRADATION, table.pop("degradation", [{}]))
    return dataclasses.replace(_choose(_TASK, table), degradation=degradations)  # type: ignore[no-any-return]


def _pipeline(stages: Any, open_at: Any) -> Pipeline:
    if not isinstance(open_at, str):
        raise PlanError(f"{_OPENER} = {open_at!r} is no text")
    return Pipeline(_chosen(_STAGES, stages), open_at)


def _chosen(where: str, tables: Any) -> tuple[Any, ...]:
    if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
        key = CHOICES[where][0]
        raise PlanError(f'[[{where}]] must be a list of tables, each with its {key} = "…"')
    return tuple(_choose(where, table) for table in tables)


def to_table(plan: Plan) -> dict[str, Any]:
    """Write a plan as nested tables with every default spelt out; `parse` reads it back to an equal plan."""
    table: dict[str, Any] = {key: getattr(plan, key) for key in _TOP}
    for name in _TABLES[1:]:
        table[name] = _table_of(name, getattr(plan, name))
    table[_OPENER] = plan.pipeline.open_at
    table[_STAGES] = [_table_of(_STAGES, stage) for stage in plan.pipeline.stages]
    if plan.privacy:
        table[_PRIVACY] = _table_of(_PRIVACY, plan.privacy)
    if plan.start:
        table[_START] = _table_of(_START, plan.start)
    if plan.split:
        table[_SPLIT] = _table_of(_SPLIT, plan.split)
    if plan.defence:
        table[_DEFENCE] = _table_of(_DEFENCE, plan.defence)
    if plan.task:
        table[_TASK] = _table_of(_TASK, plan.task)
    if isinstance(plan.task, Restore):
        table[_TASK]["degradation"] = [_table_of(_DEGRADATION, each) for each in plan.task.degradation]
    table[_SCREENS] = [_table_of(_SCREENS, screen) for screen in plan.screens]
    if plan.probe:
        table[_PROBE] = _table_of(_PROBE, plan.probe)
    if plan.groups:
        table[_GROUPS] = _table_of(_GROUPS, plan.groups)
    if plan.attacks:
        table[_ATTACKS] = [_table_of(_ATTACKS, attack) for attack in plan.attacks]
    data = plan.data
    table["data"] = {
        **_table_of("data", data.source),
        **_intensity_of(data.source),
        "split_seed": data.split_seed,
        "sites": _table_of("data.sites", data.sites),
        "parts": _table_of("data.parts", data.parts),
    }
    return table


def _intensity_of(source: Source) -> dict[str, Any]:
    return {"intensity": _table_of("data.intensity", source.intensity)} if isinstance(source, Manifest) else {}


def to_toml(plan: Plan) -> str:
    """Write a plan as TOML."""
    import tomli_w

    return tomli_w.dumps(to_table(plan))


def to_json(plan: Plan) -> str:
    """Write a plan as one line of JSON, for the way to sites."""
    return json.dumps(to_table(plan), sort_keys=True)


def from_json(text: str) -> Plan:
    """Read what `to_json` wrote.

    Raises:
        PlanError: the text is no plan.
    """
    try:
        table = json.loads(text)
    except ValueError as error:
        raise PlanError(f"the plan that was sent is not JSON: {error}") from None
    if not isinstance(table, dict):
        raise PlanError("the plan that was sent holds no table of settings")
    return parse(table)


@dataclasses.dataclass(frozen=True)
class _Top:
    name: str | None = None
    seed: int | None = None
    rounds: int | None = None
    sites_per_round: int | None = None
    quorum: int | None = None
    timeout_s: float | None = None
    average_decay: float | None = None


def _choose(where: str, table: Table, extra: tuple[str, ...] = ()) -> Any:
    key, registry, default = CHOICES[where]
    name = table.get(key, default)
    if not isinstance(name, str) or name not in registry:
        raise PlanError(f"[{where}] {key} = {name!r} is unknown{_nearest(str(name), tuple(registry))}")
    rest = {member: value for member, value in table.items() if member != key}
    return _fill(where, registry[name], rest, (key, *extra))


def _fill(where: str, kind: type[Any], table: Table, extra: tuple[str, ...] = ()) -> Any:
    _refuse_unknown(where, table, (*(field.name for field in dataclasses.fields(kind)), *extra))
    return _typed(where, kind, table)


def _typed(where: str, kind: type[Any], table: Table) -> Any:
    try:
        # Through JSON, so that strict typing still takes a TOML array for a tuple.
        return TypeAdapter(kind).validate_json(json.dumps(dict(table), allow_nan=False), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise PlanError(f"{_place(where, key)} = {first['input']!r}: {first['msg'].lower()}") from None
    except (TypeError, ValueError):
        place = f"[{where}]" if where else "the top of the plan"
        raise PlanError(f"{place} holds a value that is no finite number, text, list or table") from None


def _refuse_unknown(where: str, table: Table, known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            raise PlanError(f"{_place(where, key)} is unknown{_nearest(key, known)}")


def _place(where: str, key: str) -> str:
    return f"[{where}] {key}" if where else key


def _nearest(word: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f": did you mean {close[0]!r}?" if close else f": choose from {', '.join(sorted(known))}"


def _table_of(where: str, component: Any) -> dict[str, Any]:
    fields: dict[str, Any] = _listed(dataclasses.asdict(component))
    if where not in CHOICES:
        return fields
    key, registry, _ = CHOICES[where]
    name = next(name for name, kind in registry.items() if type(component) is kind)
    return {key: name, **fields}


def _listed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _listed(member) for key, member in value.items()}
    return [_listed(member) for member in value] if isinstance(value, tuple | list) else value
