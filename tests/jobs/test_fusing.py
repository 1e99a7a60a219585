"""Which jobs may be trained together, from their configurations alone."""

from __future__ import annotations

from typing import Any

import pytest

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.fusing import FIT_PREDICT_RUN, Fuse, FuseKeys, fuse_key, fuse_settings
from seedfold.jobs.resources import Resources

CONFIG = {
    "seed": 0,
    "fold": 0,
    "model": {"_target_": "MLP", "hidden": [32]},
    "loss": {"class_weights": None},
    "optimizer": {"_target_": "Adam", "lr": 0.1, "betas": [0.9, 0.999]},
    "trainer": {"batch_size": 64},
}


def job(stage: str = "train", cpus: int = 1, **changed: Any) -> JobDescription:
    config = {**CONFIG, **changed}
    return JobDescription("a" * 64, "s", stage, {}, config, (), Resources(cpus=cpus), FIT_PREDICT_RUN, "a" * 64)


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"fold": 2},
        {"loss": {"class_weights": [1.0, 2.0]}},
        {"optimizer": {**CONFIG["optimizer"], "lr": 0.2, "weight_decay": 0.1}},  # type: ignore[dict-item]
        {"sampling": {"imbalance_ratio": 10}},
    ],
)
def test_values_that_change_no_shape_keep_jobs_together(changed: dict[str, Any]) -> None:
    keys = FuseKeys()
    assert fuse_key(job(**changed)) == keys.of(job(**changed)) == keys.of(job()) == fuse_key(job())


@pytest.mark.parametrize(
    "changed",
    [
        {"model": {"_target_": "MLP", "hidden": [64]}},
        {"trainer": {"batch_size": 32}},
        {"optimizer": {**CONFIG["optimizer"], "betas": [0.8, 0.999]}},  # type: ignore[dict-item]
        {"stage": "other"},
        {"cpus": 2},
    ],
)
def test_values_that_may_change_a_shape_keep_them_apart(changed: dict[str, Any]) -> None:
    keys = FuseKeys()
    assert fuse_key(job(**changed)) == keys.of(job(**changed)) != keys.of(job()) == fuse_key(job())


def test_words_and_numbers_are_read() -> None:
    assert [Fuse.parse(value) for value in (None, False, "off")] == [None] * 3
    assert Fuse.parse("auto") == Fuse(32, measured=True)
    assert Fuse.parse(10) == Fuse(10, measured=False)
    assert fuse_settings({"fuse": {"train": 2, "test": "off"}}) == {"train": Fuse(2, measured=False)}
    assert fuse_settings({}) == {}


@pytest.mark.parametrize("value", [1, 0, -3, True, "on", 2.5, [2]])
def test_what_is_neither_is_refused_with_its_place(value: object) -> None:
    with pytest.raises(UsageError, match=r"stages\.train\.fuse: .* is not one of off, auto, or a whole number"):
        Fuse.parse(value, "stages.train.fuse")
