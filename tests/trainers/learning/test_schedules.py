from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from seedfold.trainers.learning.schedules import RampSustainDecay, ramp_sustain_decay
from seedfold.trainers.setup.object_builder import build

SHAPE: dict[str, Any] = {"start": 5e-6, "max": 3e-4, "min": 1e-6, "ramp": 5, "sustain": 2, "decay": 0.8}


def rates(schedule: Any, optimizer: torch.optim.Optimizer, epochs: int) -> list[float]:
    found = []
    for _ in range(epochs):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


@pytest.fixture
def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)


def test_ramp_sustain_decay_at_its_corners() -> None:
    assert ramp_sustain_decay(0, **SHAPE) == 5e-6
    assert ramp_sustain_decay(5, **SHAPE) == ramp_sustain_decay(7, **SHAPE) == pytest.approx(3e-4)
    assert ramp_sustain_decay(9, **SHAPE) == pytest.approx((3e-4 - 1e-6) * 0.8**2 + 1e-6)
    steps = [ramp_sustain_decay(epoch + 1, **SHAPE) - ramp_sustain_decay(epoch, **SHAPE) for epoch in range(5)]
    assert steps == pytest.approx([59e-6] * 5)


def test_the_schedule_follows_the_formula_and_continues_from_its_state(optimizer: torch.optim.Optimizer) -> None:
    found = rates(RampSustainDecay(optimizer, **SHAPE), optimizer, 12)
    assert found == pytest.approx([ramp_sustain_decay(epoch, **SHAPE) for epoch in range(12)])

    other = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    first = RampSustainDecay(other, **SHAPE)
    begun = rates(first, other, 4)
    third = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    continued = RampSustainDecay(third, **SHAPE)
    third.load_state_dict(other.state_dict())
    continued.load_state_dict(first.state_dict())
    assert begun + rates(continued, third, 8) == found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", [0.1, 0.1, 0.1, 0.1]),
        ("exponential", [0.1, 0.099, 0.09801, 0.0970299]),
        ("cosine", [0.1, 0.075, 0.025, 0.0]),
    ],
)
def test_the_schedules_of_conf(
    compose: Callable[..., dict[str, Any]], optimizer: torch.optim.Optimizer, name: str, expected: list[float]
) -> None:
    config = compose("trainer=default", "trainer.max_epochs=3", f"schedule={name}")
    schedule = build(config["schedule"], "schedule")(optimizer)
    assert rates(schedule, optimizer, 4) == pytest.approx(expected)


def test_plateau_of_conf_follows_the_direction_of_the_monitor(
    compose: Callable[..., dict[str, Any]], optimizer: torch.optim.Optimizer
) -> None:
    config = compose("trainer=default", "trainer.mode=max", "schedule=plateau", "schedule.patience=0")
    schedule = build(config["schedule"], "schedule")(optimizer)
    assert isinstance(schedule, ReduceLROnPlateau)
    schedule.step(0.5)
    schedule.step(0.7)
    assert optimizer.param_groups[0]["lr"] == 0.1
    schedule.step(0.6)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01)
