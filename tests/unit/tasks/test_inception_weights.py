"""Files of weights for FID: what is read, and what is refused in one sentence."""

from __future__ import annotations

import hashlib
import pickle
import random
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from inception_state import inception_network, inception_state

from wardround.errors import DataError
from wardround.tasks import inception_weights
from wardround.tasks.inception_weights import load_inception

State = dict[str, Any]
SOME = "Mixed_6c.branch7x7_2.conv.weight"


@pytest.fixture(scope="module")
def state() -> State:
    return inception_state()


@pytest.fixture
def saved(tmp_path: Path, state: State) -> Callable[[State], Path]:
    def save(changes: State) -> Path:
        torch.save({**state, **changes}, tmp_path / "weights.pth")
        return tmp_path / "weights.pth"

    return save


def without_counters(state: State) -> State:
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}


def as_old_torch(state: State, path: Path) -> None:  # of before 1.6, as the published file is
    torch.save(OrderedDict(without_counters(state)), path, _use_new_zipfile_serialization=False)


def as_torch(state: State, path: Path) -> None:
    torch.save(state, path)


def as_safetensors(state: State, path: Path) -> None:
    safetensors.torch.save_file({name: value.clone() for name, value in state.items()}, path)


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.rand(1, 3, 75, 75, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def features(image: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return inception_network()(image)


@pytest.mark.parametrize(
    ("save", "name"), [(as_old_torch, "old.pth"), (as_torch, "new.pth"), (as_safetensors, "own.safetensors")]
)
def test_what_was_saved_comes_back_ready(
    save: Callable[[State, Path], None],
    name: str,
    state: State,
    image: torch.Tensor,
    features: torch.Tensor,
    tmp_path: Path,
) -> None:
    save(state, tmp_path / name)
    found = load_inception(tmp_path / name)
    (tmp_path / name).unlink()  # up to 95 MB
    assert not found.network.training
    assert not any(weight.requires_grad for weight in found.network.parameters())
    assert not found.published
    assert all(torch.equal(value.cpu(), state[key]) for key, value in found.network.state_dict().items())
    with torch.inference_mode():
        assert torch.equal(found.network(image), features)


def test_the_published_bytes_are_known(saved: Callable[[State], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved({})
    assert load_inception(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(inception_weights, "PUBLISHED_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    assert load_inception(path).published


def test_weights_of_torchvision_are_refused_with_the_reason(saved: Callable[[State], Path]) -> None:
    path = saved({"fc.weight": torch.zeros(1000, 2048), "AuxLogits.conv0.conv.weight": torch.zeros(128, 768, 1, 1)})
    with pytest.raises(DataError, match=r"^weights.pth has 1000 classes, as torchvision's .*with 1008: give pt_"):
        load_inception(path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({SOME: torch.zeros(160, 160, 7, 1)}, r"'Mixed_6c.*\(160, 160, 7, 1\) in the file, .*, 1, 7\) in the network"),
        ({"head\n.weight": torch.zeros(1)}, r"'head\\n.weight' \(\(1,\) in the file, absent in the network\)"),
        ({"a.num_batches_tracked": torch.tensor(1)}, r"differ in 'a.num_batches_tracked'"),
        ({SOME: torch.zeros(1).half().expand(160, 160, 1, 7)}, "as torch.float16, not float32"),
        ({"fc.bias": torch.full((1008,), torch.nan)}, "a NaN, an infinity or a negative variance in fc.bias"),
        ({"Conv2d_1a_3x3.bn.running_var": -torch.ones(32)}, "variance in Conv2d_1a_3x3.bn.running_var"),
        ({"fc.bias": torch.zeros(1008, device="meta")}, "something else than names and tensors"),
        ({"fc.bias": torch.zeros(1008).to_sparse()}, "something else than names and tensors"),
        ({"fc.bias": [0.0] * 1008}, "something else than names and tensors"),
    ],
)
def test_other_weights_are_refused_by_name(changes: State, sentence: str, saved: Callable[[State], Path]) -> None:
    with pytest.raises(DataError, match=sentence) as refused:
        load_inception(saved(changes))
    assert str(refused.value).startswith("weights.pth ")
    assert "give pt_inception-2015-12-05-6726825d.pth" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_missing_tensor_is_named(state: State, tmp_path: Path) -> None:
    torch.save({name: value for name, value in state.items() if name not in (SOME, "fc.bias")}, tmp_path / "a.pth")
    with pytest.raises(DataError, match=r"'Mixed_6c.*' \(absent in the file, \(160, 160, 1, 7\).*and 1 more"):
        load_inception(tmp_path / "a.pth")


class Hostile:
    """A pickle that would run a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("harmed"),)


def test_the_hostile_pickle_runs_where_pickles_are_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Hostile()))
    assert Path("harmed").exists()


def a_command(path: Path) -> None:
    torch.save({"fc.bias": Hostile()}, path)


def a_bare_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"fc.bias": Hostile()}))


def nothing(path: Path) -> None:
    path.touch()


@pytest.mark.parametrize("make", [a_command, a_bare_pickle, nothing])
def test_hostile_bytes_are_not_carried_out(
    make: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "hostile.pth")
    with pytest.raises(DataError, match=r"^hostile.pth is damaged or no complete \.pth file"):
        load_inception(tmp_path / "hostile.pth")
    assert not Path("harmed").exists()


def test_a_zip_that_unpacks_to_more_than_it_may_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"fc.bias": torch.zeros(2**18)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name))
    monkeypatch.setattr(inception_weights, "LARGEST_BYTES", 2**19)
    assert (tmp_path / "bomb.pth").stat().st_size < 2**14
    assert len(torch.load(tmp_path / "bomb.pth", weights_only=True)["fc.bias"]) == 2**18  # torch would
    with pytest.raises(DataError, match=r"^bomb.pth is damaged or no complete \.pth file \(ValueError\)"):
        load_inception(tmp_path / "bomb.pth")


@pytest.mark.parametrize("old", [False, True])
def test_damaged_bytes_end_in_one_sentence(old: bool, tmp_path: Path) -> None:
    path = tmp_path / "damaged.pth"
    small = {"fc.weight": torch.ones(3, 4), "fc.bias": torch.ones(3)}
    torch.save(small, path, _use_new_zipfile_serialization=not old)
    sound, drawn = path.read_bytes(), random.Random(3)
    for _ in range(80):
        damaged = bytearray(sound)
        for _ in range(drawn.randint(1, 4)):
            damaged[drawn.randrange(len(damaged))] = drawn.randrange(256)
        path.write_bytes(damaged[: drawn.choice((len(damaged), drawn.randrange(len(damaged))))])
        with pytest.raises(DataError, match=r"^damaged.pth "):  # never fitting: of this network little is there
            load_inception(path)


def test_files_of_another_kind_and_size_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"weights.bin is no .safetensors or .pth file: give pt_inception"):
        load_inception(tmp_path / "weights.bin")
    with pytest.raises(DataError, match=r"weights.pth cannot be read \(No such file or directory\): give"):
        load_inception(tmp_path / "weights.pth")
    (tmp_path / "none.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"none.safetensors is damaged or no complete .safetensors file"):
        load_inception(tmp_path / "none.safetensors")
    monkeypatch.setattr(inception_weights, "LARGEST_BYTES", 6)
    with pytest.raises(DataError, match="larger than 6 bytes"):
        load_inception(tmp_path / "none.safetensors")
