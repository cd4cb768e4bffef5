"""Plans as text: there and back, and every slip refused by name."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.algorithms import ALGORITHMS, FedProx
from wardround.algorithms.server import SERVERS, ServerSgd
from wardround.data.catalogue import SOURCES, Slide
from wardround.data.sites import RULES, Dirichlet, Natural
from wardround.errors import PlanError
from wardround.study.spec import CHOICES, from_json, load, parse, to_json, to_table, to_toml
from wardround.tasks.models import SmallCnn


def test_an_empty_plan_but_for_its_name_is_the_defaults() -> None:
    plan = parse({"name": "x"})
    assert (plan.seed, plan.rounds, plan.sites_per_round, plan.quorum) == (1, 20, 0, 0)
    assert plan.data.source == Slide()
    assert plan.data.sites == Natural()
    assert plan.model == SmallCnn()
    assert plan.server == ServerSgd()


def test_tables_choose_and_fill_components() -> None:
    plan = parse(
        {
            "name": "x",
            "timeout_s": 5,
            "data": {"source": "slide", "stride_px": 8, "split_seed": 4, "sites": {"by": "dirichlet", "alpha": 1}},
            "algorithm": {"name": "fedprox", "mu": 0.5},
        }
    )
    assert plan.data.source == Slide(stride_px=8)
    assert plan.data.sites == Dirichlet(alpha=1.0)
    assert plan.data.split_seed == 4
    assert plan.algorithm == FedProx(mu=0.5)
    assert plan.timeout_s == 5.0
    assert isinstance(plan.timeout_s, float)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_plans_survive_toml_and_json(data: st.DataObject) -> None:
    table = {
        "name": data.draw(st.text("abcXYZ012-_", min_size=1, max_size=8)),
        "seed": data.draw(st.integers(0, 2**40)),
        "rounds": data.draw(st.integers(1, 10**6)),
        "average_decay": data.draw(st.floats(0, 0.999)),
        "data": {
            "source": data.draw(st.sampled_from(sorted(SOURCES))),
            "sites": {"by": data.draw(st.sampled_from(sorted(RULES))), "held_out": data.draw(st.lists(st.text("ab")))},
        },
        "algorithm": {"name": data.draw(st.sampled_from(sorted(ALGORITHMS)))},
        "server": {"name": data.draw(st.sampled_from(sorted(SERVERS))), "learning_rate": data.draw(st.floats(1e-9, 9))},
        "training": {"epochs": data.draw(st.floats(1e-3, 50)), "learning_rate": data.draw(st.floats(1e-9, 10))},
    }
    if ALGORITHMS[table["algorithm"]["name"]]().work.splits:
        table |= {
            "task": {"name": "segmentation"},
            "model": {"name": "unet"},
            "split": {"wire": "int8", "noise_sd": 0.5},
        }
    if table["algorithm"]["name"] == "fedgan":
        made_by = {name: part for name, part in SYNTHESIS.items() if name in ("task", "model")}
        table |= {**made_by, "training": {**table["training"], **SYNTHESIS["training"]}}
    plan = parse(table)
    assert from_json(to_json(plan)) == plan
    assert parse(tomllib.loads(to_toml(plan))) == plan
    assert from_json(to_json(plan)).digest() == plan.digest()
    assert parse(tomllib.loads(to_toml(plan))).digest() == plan.digest()


def test_the_written_plan_spells_out_every_setting() -> None:
    table = to_table(tiny.plan())
    for name in ("training", "evaluation", "model", "server", "aggregator", "algorithm"):
        fields = {field.name for field in dataclasses.fields(getattr(tiny.plan(), name))}
        assert fields | ({CHOICES[name][0]} if name in CHOICES else set()) == set(table[name])
    assert set(table["data"]) >= {"source", "split_seed", "sites", "parts", "size_px"}


def test_the_template_is_a_plan_and_its_comments_tell_the_defaults() -> None:
    text = files("wardround.study").joinpath("template.toml").read_text(encoding="utf-8")
    plan = parse(tomllib.loads(text))
    plan.check()
    other_choices = ("held_out", "sites =", "alpha")
    spelt_out = []
    for line in text.splitlines():
        bare = line.removeprefix("# ")
        is_setting = " = " in bare and bare.split(" = ")[0].isidentifier() and not bare.startswith(other_choices)
        spelt_out.append(bare if is_setting or bare.startswith("[") else line)
    assert spelt_out != text.splitlines()
    assert parse(tomllib.loads("\n".join(spelt_out))) == plan


MISSPELT: dict[str, tuple[dict[str, Any], str]] = {
    "top": ({"round": 3}, r"^round is unknown: did you mean 'rounds'\?$"),
    "top table": ({"modell": {}}, "modell is unknown: did you mean 'model'"),
    "data": ({"data": {"strid_px": 3}}, r"\[data\] strid_px is unknown: did you mean 'stride_px'"),
    "data.sites": ({"data": {"sites": {"heldout": []}}}, r"\[data.sites\] heldout is unknown: did you mean 'held_out'"),
    "data.parts": ({"data": {"parts": {"tst": 0.1}}}, r"\[data.parts\] tst is unknown: did you mean 'test'"),
    "model": ({"model": {"widht": 8}}, r"\[model\] widht is unknown: did you mean 'width'"),
    "algorithm": ({"algorithm": {"name": "fedprox", "muu": 1}}, r"\[algorithm\] muu is unknown: did you mean 'mu'"),
    "training": (
        {"training": {"learning_rte": 1}},
        r"\[training\] learning_rte is unknown: did you mean 'learning_rate'",
    ),
    "server": ({"server": {"momentun": 1}}, r"\[server\] momentun is unknown: did you mean 'momentum'"),
    "aggregator": ({"aggregator": {"weigthing": 1}}, r"\[aggregator\] weigthing is unknown: did you mean 'weighting'"),
    "evaluation": ({"evaluation": {"evry": 1}}, r"\[evaluation\] evry is unknown: did you mean 'every'"),
    "far from anything": ({"training": {"zzzz": 1}}, r"\[training\] zzzz is unknown: choose from augment, batch_size"),
    "of another choice": ({"algorithm": {"name": "fedavg", "mu": 1.0}}, r"\[algorithm\] mu is unknown"),
}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown source": (
        {"data": {"source": "slidee"}},
        r"\[data\] source = 'slidee' is unknown: did you mean 'slide'",
    ),
    "an unknown rule": ({"data": {"sites": {"by": "hospital"}}}, r"\[data.sites\] by = 'hospital' is unknown: choose"),
    "an unknown model": ({"model": {"name": "resnet19"}}, r"\[model\] name = 'resnet19' is unknown: did you mean"),
    "an unknown algorithm": ({"algorithm": {"name": "fedavgg"}}, "did you mean 'fedavg'"),
    "an unknown server": ({"server": {"name": "sdg"}}, "did you mean 'sgd'"),
    "an unknown aggregator": (
        {"aggregator": {"name": "medain"}},
        r"\[aggregator\] name = 'medain' is unknown: did you mean 'median'",
    ),
    "a name that is no text": ({"model": {"name": 5}}, r"\[model\] name = 5 is unknown"),
    "text for a number": ({"rounds": "3"}, r"^rounds = '3': input should be a valid integer"),
    "a fraction of rounds": ({"rounds": 2.5}, r"^rounds = 2.5: "),
    "a boolean for a number": ({"rounds": True}, r"^rounds = True: "),
    "a number for a text": ({"name": 5}, r"^name = 5: "),
    "text in a table": ({"training": {"batch_size": "8"}}, r"\[training\] batch_size = '8': "),
    "a boolean seed": ({"data": {"split_seed": True}}, "data.split_seed an integer"),
    "a text for a flag": ({"server": {"nesterov": "yes"}}, r"\[server\] nesterov = 'yes': "),
    "a list for a number": ({"server": {"momentum": [1]}}, r"\[server\] momentum = \[1\]: "),
    "numbers for names": ({"data": {"sites": {"held_out": [1]}}}, r"\[data.sites\] held_out.0 = 1: "),
    "a value for a table": ({"training": 3}, r"\[training\] must be a table of settings, not 3"),
    "a list of tables": ({"model": [{}]}, r"\[model\] must be a table of settings"),
    "a value for sites": ({"data": {"sites": "iid"}}, r"\[data.sites\] and \[data.parts\] must be tables"),
    "infinity": ({"training": {"epochs": float("inf")}}, r"\[training\] holds a value that is no finite number"),
    "not a number": ({"timeout_s": float("nan")}, r"^the top of the plan holds a value that is no finite number"),
    "out of range": ({"training": {"momentum": 1.5}}, "momentum"),
    "no name": ({"name": ""}, "name = ''"),
    "a network that is not named": ({"model": {"name": "monai"}}, r"\[model\] network"),
}


@pytest.mark.parametrize(("change", "words"), [*MISSPELT.values(), *WRONG.values()], ids=[*MISSPELT, *WRONG])
def test_every_slip_is_one_sentence_that_names_it(change: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError, match=words) as caught:
        parse({"name": "x", **change})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_date_is_no_setting() -> None:
    with pytest.raises(PlanError, match=r"\[training\] holds a value"):
        parse({"name": "x", "training": tomllib.loads("epochs = 2020-01-01")})


SYNTHESIS: dict[str, Any] = {
    "task": {"name": "synthesis"},
    "model": {"name": "dcgan"},
    "algorithm": {"name": "fedgan"},
    "training": {"optimiser": "adamw"},
}


def with_default(where: str, key: str, name: str) -> dict[str, Any]:
    """Return a table's default choice of that name, and the tables that it needs."""
    around: dict[str, dict[str, Any]] = {
        "data.sites": {"data": {"sites": {key: name}}},
        "data.intensity": {"data": {"source": "manifest", "intensity": {key: name}}},
        "task.degradation": {**tiny.RESTORE, "task": {"name": "restoration", "degradation": [{key: name}]}},
        "task": {"task": {key: name}, "model": tiny.SEGMENT["model"]},
        "protect": {"protect": [{key: name}]},
        "screen": {"screen": [{key: name}]},
        "attack": {"attack": [{key: name, "sites": ["a"]}]},
    }
    table = around.get(where, {where: {key: name}})
    if name in ("label_flip", "trigger"):
        table["attack"][0]["target"] = "a class"
    if name in ("dcgan", "style_gan", "fedgan", "synthesis", "image_trigger", "generator_e_detector"):
        table = {**table, **{other: value for other, value in SYNTHESIS.items() if other != where}}
    if name == "diffusion":
        table["task"] = {"name": "synthesis"}
    if name in ("unet", "red_cnn"):
        table["task"] = {"name": "segmentation"}
    if where == "algorithm" and CHOICES[where][1][name]().work.splits:
        table |= {"task": {"name": "segmentation"}, "model": {"name": "unet"}, "split": {}}
    return table


def test_every_default_of_every_choice_is_itself_a_plan() -> None:
    for where, (key, registry, _) in CHOICES.items():
        for name in registry:
            if name in ("monai", "classification", "none"):  # the last two are plans without the table: see below
                continue
            found: Any = to_table(parse({"name": "x", **with_default(where, key, name)}))
            for step in where.split("."):
                found = found[step]
            assert (found[0] if isinstance(found, list) else found)[key] == name


MANIFEST: dict[str, Any] = {
    "source": "manifest",
    "harmonise": {"orientation": "PLS", "spacing_mm": 0.5, "outside_mask": "crop"},
    "intensity": {"by": "landmarks", "percentiles": [1, 50, 99], "standard": [0, 0.4, 1]},
}


def test_how_images_become_alike_is_part_of_the_plan_and_of_its_digest() -> None:
    plan = parse({"name": "x", "data": MANIFEST})
    assert parse(tomllib.loads(to_toml(plan))) == plan
    assert from_json(to_json(plan)).digest() == plan.digest()
    for table, key, value in (("harmonise", "orientation", "RAS"), ("intensity", "standard", [0, 0.5, 1])):
        changed = MANIFEST | {table: MANIFEST[table] | {key: value}}
        assert parse({"name": "x", "data": changed}).digest() != plan.digest()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"harmonise": {"spacing": 1}}, r"\[data.harmonise\] spacing is unknown: did you mean 'spacing_mm'"),
        ({"harmonise": 3}, r"\[data.harmonise\] and \[data.intensity\] must be tables"),
        ({"intensity": {"by": "windw"}}, r"by = 'windw' is unknown: did you mean 'window'"),
        ({"intensity": {"by": "window", "lower": 1}}, r"\[data.intensity\] lower is unknown"),
        ({"source": "slide"}, r"\[data\] harmonise is unknown"),
        ({"unreadable_share": 1.0}, "unreadable_share"),
    ],
)
def test_tables_of_a_manifest_that_cannot_be_used_are_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(PlanError, match=named):
        parse({"name": "x", "data": MANIFEST | changes})


def test_a_file_names_the_plan_unless_it_says_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "my-plan.toml"
    path.write_text("rounds = 3")
    assert load(path).name == "my-plan"
    path.write_text("name = 'other'")
    assert load(path).name == "other"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.toml", None, r"absent.toml does not exist: wardround init"),
        ("a.toml", b"rounds = = 3", r"a.toml is not valid TOML"),
        ("a.json", b"{", r"a.json is not valid JSON"),
        ("a.json", b"[1]", r"a.json holds no table"),
        ("a.toml", b"\xff\xfe", r"a.toml cannot be read"),
        ("a.json", b"[" * 100_000, r"a.json is not valid JSON"),
        ("a b.toml", b"", r"name = 'a b'"),
    ],
)
def test_files_that_are_no_plan(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PlanError, match=words):
        load(path)


def test_a_folder_is_no_plan(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '"x"', "null"])
def test_what_was_sent_and_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(PlanError):
        from_json(text)


def test_five_keys_are_read_from_json_only(tmp_path: Path) -> None:
    path = tmp_path / "five.json"
    path.write_text(json.dumps({"rounds": 4, "clients_per_round": 2, "learning_rate": 0.01}))
    plan = load(path)
    assert (plan.rounds, plan.sites_per_round, plan.training.learning_rate, plan.name) == (4, 2, 0.01, "five")


def test_a_plan_that_says_it_classifies_is_the_plan_that_says_nothing() -> None:
    silent, said = parse({"name": "x"}), parse({"name": "x", "task": {"name": "classification"}})
    assert silent == said
    assert silent.digest() == said.digest()
    assert "task" not in to_table(said)
    assert silent.learns.name == "classification"


def test_a_plan_that_learns_masks_survives_the_way_through_text() -> None:
    plan = parse({"name": "x", **tiny.SEGMENT, "task": {"name": "segmentation", "dice": 0.5}})
    assert from_json(to_json(plan)) == plan
    assert to_table(plan)["task"] == {"name": "segmentation", "dice": 0.5, "cross_entropy": 1.0}
    assert plan.digest() != parse({"name": "x", **tiny.SEGMENT}).digest()
