from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.learning.exported_weights import ExportedWeights
from seedfold.trainers.models.efficientnet import efficientnet
from seedfold.trainers.setup.object_builder import build

pytest.importorskip("monai")
from seedfold.trainers.models.efficientnet_v2 import EfficientNetV2Encoder

Compose = Callable[..., dict[str, Any]]


def unet(compose: Compose, *overrides: str) -> Any:
    return build(compose("task=dark_side", "model=efficientnet_unet", *overrides)["model"], "model")


def loss(compose: Compose, name: str, *overrides: str) -> nn.Module:
    node: Mapping[str, Any] = compose("task=dark_side", f"loss={name}", *overrides)["loss"]
    function = build(node["function"], "loss.function")
    assert isinstance(function, nn.Module)
    return function


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


LOGITS = torch.tensor([[[[2.0, -1.0, 0.3]], [[0.5, 1.5, 0.1]]], [[[0.0, 0.2, -3.0]], [[1.0, 0.0, 0.0]]]])
MASKS = torch.tensor([[[0, 1, 0]], [[1, 0, 1]]])


def expected(name: str, smooth: float = 0.0) -> Tensor:
    """The loss of each class by its textbook formula, areas summed over the batch."""
    p = LOGITS.softmax(1)
    truth = torch.stack([MASKS == 0, MASKS == 1], dim=1).float()
    common, both = (p * truth).sum((0, 2, 3)), (p + truth).sum((0, 2, 3))
    quotient = (2 * common + smooth) / (both + smooth)
    return 1 - quotient if name == "dice" else 1 - (common + smooth) / (both - common + smooth)


@pytest.mark.parametrize("name", ["dice", "jaccard"])
def test_losses_are_the_closed_forms_over_the_batch(compose: Compose, name: str) -> None:
    assert loss(compose, name)(LOGITS, MASKS) == pytest.approx(float(expected(name).mean()), abs=1e-4)
    background, fault = expected(name)
    weighted = loss(compose, name, "loss.class_weights=[1,3]")(LOGITS, MASKS)
    assert weighted == pytest.approx(float(background + 3 * fault) / 4, abs=1e-4)


@pytest.mark.parametrize("name", ["dice", "jaccard"])
def test_a_perfect_mask_costs_nothing_and_an_empty_one_is_finite(compose: Compose, name: str) -> None:
    perfect = 50.0 * torch.stack([MASKS == 0, MASKS == 1], dim=1).float()
    assert loss(compose, name)(perfect, MASKS) == pytest.approx(0.0, abs=1e-5)
    logits = torch.zeros(2, 2, 300, 1259, dtype=torch.float16, requires_grad=True)
    empty = loss(compose, name)(logits, torch.zeros(2, 300, 1259, dtype=torch.uint8))
    empty.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(empty)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", ["dice", "jaccard"])
def test_a_class_that_is_absent_from_the_batch_adds_nothing(compose: Compose, name: str) -> None:
    """As segmentation_models_pytorch computes it: ``loss *= (y_true.sum(dims) > 0)``, then the mean of all classes."""
    logits, rock = LOGITS.clone().requires_grad_(), torch.zeros_like(MASKS)
    p = LOGITS.softmax(1)[:, 0]
    quotient = 2 * p.sum() / (p.sum() + p.numel()) if name == "dice" else p.sum() / p.numel()
    found = loss(compose, name)(logits, rock)
    assert float(found.detach()) == pytest.approx(float(1 - quotient) / 2, abs=1e-6)
    weighted = loss(compose, name, "loss.class_weights=[1,3]")(LOGITS, rock)
    assert float(weighted) == pytest.approx(float(1 - quotient) / 4, abs=1e-6)
    nearly = torch.stack([torch.full((4, 30, 126), 3.9), torch.zeros(4, 30, 126)], 1)
    assert float(loss(compose, "dice")(nearly, torch.zeros(4, 30, 126, dtype=torch.uint8))) < 0.02
    found.backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_a_loss_that_does_not_fit_says_why(compose: Compose) -> None:
    with pytest.raises(ConfigFailure, match=r"at least 2 classes for masks \(1, 3\), not \(1, 1, 3\)"):
        loss(compose, "dice")(LOGITS[:, :1], MASKS)
    with pytest.raises(ConfigFailure, match="3 weights for 2 classes"):
        loss(compose, "jaccard", "loss.class_weights=[1,3,1]")(LOGITS, MASKS)
    with pytest.raises(ConfigFailure, match="measure: 'iou' is not one of dice, jaccard"):
        loss(compose, "dice", "loss.function.measure=iou")


def _decoder(widths: list[int], decoder: list[int]) -> int:
    """Parameters of the decoder and the last layer.

    A block halves the channels from below (1x1, biased) unless it is the last, appends those of the encoder's map, and
    has two 3x3 convolutions with batch normalisation.
    """
    below, skips = [widths[-1], *decoder[:-1]], widths[-2::-1]
    count = 9 * decoder[-1] * 2 + 2 + 9 * decoder[-1] * (below[-1] + decoder[-1]) + 4 * decoder[-1]
    for up, skip, out in zip(below, skips, decoder, strict=False):
        half = up // 2
        count += up * half + half + 9 * out * (half + skip + out) + 4 * out
    return count


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "widths", "classifier", "published"),
    # Channels of the encoder's maps; those between the last and the classifier; millions of parameters of the whole
    # classifier with 1000 classes (Tan and Le 2019, table 2; Xie et al. 2020, table 7; B8 as Xie et al. 2019 scale it).
    [
        ("b0", [16, 24, 40, 112, 320], 1280, 5.3),
        ("b8", [32, 56, 88, 248, 704], 2816, 87.4),
        ("l2", [72, 104, 176, 480, 1376], 5504, 480),
        # Tan and Le 2021, table 7, with the digits that torchvision's and timm's pages give.
        ("v2-l", [32, 64, 96, 224, 640], 1280, 118.515),
        ("v2-xl", [32, 64, 96, 256, 640], 1280, 208.120),
    ],
)
def test_parameters_are_those_of_the_published_encoder_and_of_the_decoder(
    compose: Compose, name: str, widths: list[int], classifier: int, published: float
) -> None:
    with torch.device("meta"):
        network = unet(compose, f"model.name=efficientnet{'' if name.startswith('v2') else '-'}{name}")
    encoder = parameters(network) - _decoder(widths, [256, 128, 64, 32, 16])
    left_out = widths[-1] * classifier + 2 * classifier + 1000 * classifier + 1000
    stem = next(network.network.encoder.parameters())
    assert encoder + left_out + 2 * stem.numel() == pytest.approx(published * 1e6, rel=0.005)


def test_images_of_any_size_keep_it_and_the_edge_changes_nothing_behind_it(compose: Compose) -> None:
    torch.manual_seed(0)
    network = build(compose("task=dark_side", "model=small_unet")["model"], "model").eval()
    images = torch.randn(2, 1, 21, 46)
    assert network(images).shape == (2, 2, 21, 46)
    aligned = nn.functional.pad(images, (0, 2, 0, 3))
    assert torch.equal(network(images), network(aligned)[:, :, :21, :46])


def test_what_cannot_be_built_is_told(compose: Compose) -> None:
    with pytest.raises(
        ConfigFailure, match=r"model.name: 'efficientnet-b9' is not one of efficientnet-b0, .*did you mean"
    ):
        unet(compose, "model.name=efficientnet-b9")
    with pytest.raises(ConfigFailure, match=r"model.decoder_channels: 2 widths for 5 blocks"):
        unet(compose, "model.decoder_channels=[32,16]")


@pytest.mark.slow
def test_an_encoder_begins_with_weights_of_a_classifier_of_colours_and_exported_ones_need_them_no_more(
    compose: Compose, tmp_path: Path
) -> None:
    colours = efficientnet("efficientnetv2-s", in_channels=3, classes=7).eval()
    torch.save(colours.state_dict(), tmp_path / "weights.pt")
    given = ("model.name=efficientnetv2-s", f"model.pretrained={tmp_path / 'weights.pt'}")
    network = unet(compose, *given).eval()
    images = torch.randn(2, 1, 32, 64)
    with torch.no_grad():
        own = network.network.encoder(images)
        those = EfficientNetV2Encoder.forward(colours, images.expand(-1, 3, -1, -1))
    assert [each.shape[1] for each in own] == [24, 48, 64, 160, 256]
    assert all(torch.allclose(mine, other, atol=1e-4) for mine, other in zip(own, those, strict=True))
    (tmp_path / "weights.pt").unlink()
    model = compose("task=dark_side", "model=efficientnet_unet", *given)["model"]
    again = ExportedWeights(model, network.state_dict(), upright=False, epoch=0).make_network().eval()
    assert torch.equal(again(images), network(images))
    with pytest.raises(DataFailure, match=r"weights\.pt: no such file; put the weights there"):
        unet(compose, *given)


@pytest.mark.slow
def test_an_encoder_of_the_study_names_the_file_that_it_misses(
    compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published names are looked for where torch keeps such files; weights of another network are refused."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    file = tmp_path / "checkpoints" / "tf_efficientnet_b8_ra-572d5dd9.pth"
    given = ("model.name=efficientnetv2-s", f"model.pretrained={file.name}")
    with pytest.raises(DataFailure, match=rf"download https://github\.com/.*/{file.name} to {file}, or begin"):
        unet(compose, *given)
    file.parent.mkdir()
    same = efficientnet("efficientnetv2-s", in_channels=3, classes=7).state_dict()
    renamed = {f"timm.{name}": value for name, value in same.items() if not name.endswith("num_batches_tracked")}
    torch.save(renamed, file)
    [stem, *_] = unet(compose, *given).network.encoder.parameters()
    assert torch.allclose(stem, next(iter(same.values())).sum(1, keepdim=True))
    torch.save(dict(list(renamed.items())[1:]), file)
    with pytest.raises(DataFailure, match="holds weights of another network, as shown by"):
        unet(compose, *given)


@pytest.mark.slow
def test_a_small_network_learns_faults_from_slices(compose: Compose, work: Callable[..., Any], tmp_path: Path) -> None:
    """From volumes on disk to a mask of a volume that was never seen."""
    from seedfold.trainers.data.job_data import drop_empty_slices
    from seedfold.trainers.studies.dark_side import slices_stage as slices
    from seedfold.trainers.studies.dark_side.slices import Slices
    from seedfold.trainers.studies.sample_data import make

    make("dark_side", tmp_path / "data", "tiny")
    given = (f"paths.data={tmp_path / 'data'}", "task.volumes.shape=[24,24,44]")
    config = compose("task=dark_side", "model=small_unet", *given)
    job = work(config)
    slices.run(job)
    samples = Slices(axes=[1]).load(job.staging)
    assert samples.groups is not None
    unseen = np.isin(samples.groups, sorted(set(samples.groups))[-2:])
    train, test = drop_empty_slices(samples, np.flatnonzero(~unseen)), np.flatnonzero(unseen)

    def tensors(rows: Any) -> tuple[Tensor, Tensor]:
        chosen = samples.take(rows)
        assert chosen.masks is not None
        images, masks = chosen.inputs.gather(slice(None)), chosen.masks.gather(slice(None))  # type: ignore[union-attr]
        return torch.from_numpy(images).float(), torch.from_numpy(masks)

    torch.manual_seed(0)
    network, dice = build(config["model"], "model"), loss(compose, "dice")
    images, masks = tensors(train)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(6):
        for batch in torch.randperm(len(images)).split(16):
            optimizer.zero_grad()
            dice(network(images[batch]), masks[batch]).backward()
            optimizer.step()
    images, masks = tensors(test)
    with torch.no_grad():
        found = network.eval()(images).argmax(1)
    score = 2 * (found * masks).sum() / (found.sum() + masks.sum())
    share = masks.float().mean()
    assert score > 2 * (2 * share / (1 + share)), "twice as good as calling everything a fault"


@pytest.mark.slow
def test_a_slice_of_the_real_size_passes_and_every_parameter_is_used(compose: Compose) -> None:
    network = unet(compose).eval()
    with torch.no_grad():
        logits = network(torch.randn(1, 1, 300, 1259))
    assert logits.shape == (1, 2, 300, 1259)
    assert torch.isfinite(logits).all()
    network(torch.randn(2, 1, 40, 33)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
