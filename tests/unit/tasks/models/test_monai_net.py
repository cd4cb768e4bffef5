"""Networks of MONAI by name: what is filled in, what is refused, and that they train."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from monai.networks import nets
from torch import nn

from wardround.errors import PlanError
from wardround.tasks.classification import Classification
from wardround.tasks.models.monai_net import MonaiNet

SMALL_DENSENET = {"init_features": 8, "growth_rate": 4, "block_config": [2, 2, 2, 2]}


class Pair(nn.Module):
    """A classifier that also returns its features, as ViT does."""

    def __init__(self, in_channels: int, num_classes: int, post_activation: str = "Tanh") -> None:
        super().__init__()
        self.head = nn.Linear(in_channels, num_classes)
        self.post_activation = post_activation

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return self.head(x.mean(dim=(2, 3))), [x]


def pair(**kwargs: Any) -> Pair:
    return Pair(**kwargs)


@pytest.mark.parametrize(
    ("network", "arguments", "size_px"),
    [
        ("DenseNet121", SMALL_DENSENET, 32),
        ("densenet121", SMALL_DENSENET, 32),
        ("EfficientNetBN", {"model_name": "efficientnet-b0"}, 64),
        ("resnet10", {"widen_factor": 0.125, "conv1_t_stride": 2}, 32),
        ("SEResNet50", {"layers": [1, 1, 1, 1]}, 32),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_named_networks_classify_and_learn(
    network: str, arguments: dict[str, Any], size_px: int, channels: int
) -> None:
    built = MonaiNet(network, arguments).build(channels, 5)
    logits = built(torch.randn(2, channels, size_px, size_px))
    assert logits.shape == (2, 5)
    nn.functional.cross_entropy(logits, torch.tensor([0, 4])).backward()
    assert sum(float(p.grad.abs().sum()) for p in built.parameters() if p.grad is not None) > 0


def test_weights_keep_monais_names() -> None:
    ours = MonaiNet("DenseNet121", SMALL_DENSENET).build(3, 7)
    plain = nets.DenseNet121(spatial_dims=2, in_channels=3, out_channels=7, **SMALL_DENSENET)
    plain.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(plain.eval()(images), ours.eval()(images))


def test_vit_gives_unbounded_logits() -> None:
    pytest.importorskip("einops", reason="MONAI's ViT needs the package einops")
    small = {"img_size": [32, 32], "patch_size": [8, 8], "hidden_size": 32, "mlp_dim": 64, "num_layers": 1}
    network = MonaiNet("ViT", {**small, "num_heads": 2}).build(3, 5)
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 5)
    assert isinstance(network.classification_head, nn.Linear)


@pytest.mark.parametrize("name", ["Pair", "pair"])
def test_the_first_of_several_outputs_is_taken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nets, name, globals()[name], raising=False)
    network = MonaiNet(name).build(3, 4)
    assert network(torch.randn(2, 3, 8, 8)).shape == (2, 4)
    assert network.post_activation == ""


def test_the_plan_wins_over_what_is_suggested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nets, "Pair", Pair, raising=False)
    assert MonaiNet("Pair", {"post_activation": "Tanh"}).build(3, 4).post_activation == "Tanh"


@pytest.mark.parametrize(
    ("network", "arguments", "words"),
    [
        ("DenseNet12", {}, "did you mean DenseNet121"),
        ("resnet19", {}, "did you mean resnet18"),
        ("qwertz", {}, "documentation"),
        ("drop_connect", {}, "no network"),
        ("Any", {}, "no network"),
        ("DenseNet121", {"growth": 4}, "did you mean growth_rate"),
        ("DenseNet121", {"in_channels": 4}, "follows from the data"),
        ("DenseNet121", {"spatial_dims": 3}, "follows from the data"),
        ("DenseNet121", {"init_features": None}, "TOML"),
        ("DenseNet121", {"block_config": [1, {"a": object()}]}, "TOML"),
        ("Pooler", {"hidden_size": 3}, "number of classes"),
    ],
)
def test_what_monai_does_not_have_is_refused_with_a_way_out(
    network: str, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(PlanError, match=words):
        MonaiNet(network, arguments)


@pytest.mark.parametrize(
    ("network", "arguments", "words"),
    [
        ("EfficientNetBN", {}, "model_name"),
        ("EfficientNetBN", {"model_name": "b9"}, "b9"),
        ("DenseNet121", {"init_features": -1}, "DenseNet121"),
    ],
)
def test_arguments_that_monai_refuses_are_a_plan_error(network: str, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError, match=words) as caught:
        MonaiNet(network, arguments).build(3, 2)
    assert "\n" not in str(caught.value)


def test_a_network_for_segmentation_is_refused_when_it_answers() -> None:
    task = Classification(MonaiNet("UNet", {"channels": [4, 8], "strides": [2]}), 3, ("a", "b"))
    with pytest.raises(PlanError, match="UNet gives no"):
        task.loss(task.build(1), torch.randn(1, 3, 16, 16), torch.tensor([0]))


def test_monai_is_imported_only_when_a_plan_names_a_network() -> None:
    code = "import sys, wardround.tasks.models.monai_net; sys.exit('monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
