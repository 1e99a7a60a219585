from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from seedfold.jobs.work import ConfigFailure
from seedfold.trainers.learning.losses import BinaryCrossEntropy, CrossEntropy, HeadsLoss

LOGITS = torch.tensor([[1.0, -0.5, 0.2], [0.1, 0.9, -2.0], [0.0, 0.0, 3.0], [2.0, 1.0, 0.0]])
TARGETS = torch.tensor([0, 2, 2, 1])


def test_cross_entropy_with_weights_and_smoothing_is_the_closed_form() -> None:
    weights, smoothing = torch.tensor([0.5, 1.0, 1.5]), 0.1
    log_p = LOGITS.log_softmax(1)
    own = -(weights[TARGETS] * log_p[range(4), TARGETS]).sum()
    spread = -(weights * log_p).sum()
    expected = ((1 - smoothing) * own + smoothing / 3 * spread) / weights[TARGETS].sum()
    assert CrossEntropy([0.5, 1.0, 1.5], smoothing)(LOGITS, TARGETS) == pytest.approx(float(expected))


def test_plain_cross_entropy_is_torchs() -> None:
    assert CrossEntropy()(LOGITS, TARGETS) == functional.cross_entropy(LOGITS, TARGETS)


def test_binary_cross_entropy_is_the_closed_form_of_smoothed_targets() -> None:
    logits, targets = torch.tensor([[0.3], [-1.2], [2.0]]), torch.tensor([1, 0, 0])
    p = logits[:, 0].sigmoid()
    soft = torch.tensor([0.99, 0.01, 0.01])
    parts = -(soft * p.log() + (1 - soft) * (1 - p).log())
    assert BinaryCrossEntropy(label_smoothing=0.02)(logits, targets) == pytest.approx(float(parts.mean()))
    weighted = (parts * torch.tensor([2.0, 1.0, 1.0])).sum() / 4
    assert BinaryCrossEntropy([1.0, 2.0], 0.02)(logits, targets) == pytest.approx(float(weighted))


def test_one_logit_and_two_logits_of_the_same_odds_cost_the_same() -> None:
    one, targets = torch.tensor([[0.7], [-1.1]]), torch.tensor([1, 1])
    two = torch.cat([torch.zeros_like(one), one], dim=1)
    binary, categorical = BinaryCrossEntropy([1.0, 3.0], 0.1), CrossEntropy([1.0, 3.0])
    assert BinaryCrossEntropy([1.0, 3.0])(one, targets) == pytest.approx(float(categorical(two, targets)))
    assert binary(one, targets) != pytest.approx(float(categorical(two, targets)))


def test_heads_add_up_with_their_weights() -> None:
    heads = {"first": LOGITS, "second": LOGITS * 2}
    parts = [functional.cross_entropy(logits, TARGETS) for logits in heads.values()]
    assert HeadsLoss(CrossEntropy())(heads, TARGETS) == pytest.approx(float(parts[0] + parts[1]))
    weighted = HeadsLoss(CrossEntropy(), {"second": 0.25})(heads, TARGETS)
    assert weighted == pytest.approx(float(parts[0] + 0.25 * parts[1]))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: CrossEntropy([1.0, 2.0])(LOGITS, TARGETS), "loss.class_weights: 2 weights for 3 classes"),
        (lambda: CrossEntropy()(LOGITS[:, :1], TARGETS), "at least 2 logits, not 1"),
        (lambda: BinaryCrossEntropy()(LOGITS, TARGETS), "heads of one logit, not 3"),
        (lambda: CrossEntropy(label_smoothing=1.5), "label_smoothing: 1.5"),
        (lambda: HeadsLoss(CrossEntropy(), {"frist": 1.0})({"first": LOGITS}, TARGETS), r"did you mean 'first'"),
    ],
)
def test_a_loss_that_does_not_fit_says_why(call: object, says: str) -> None:
    with pytest.raises(ConfigFailure, match=says):
        call()  # type: ignore[operator]
