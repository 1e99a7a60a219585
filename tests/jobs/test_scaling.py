from __future__ import annotations

import pytest

from seedfold.jobs.errors import UsageError
from seedfold.jobs.learning_rates import linear_rate
from seedfold.jobs.study import load_study


def test_the_rate_follows_the_samples_of_a_step() -> None:
    assert linear_rate(1.25e-6, 256) == pytest.approx(3.2e-4)
    assert linear_rate(1.25e-6, 32, accumulate=8) == pytest.approx(3.2e-4)
    with pytest.raises(UsageError, match="a step of 1 batches of 0 has no learning rate"):
        linear_rate(1.0, 0)


def test_each_fold_has_its_rate_and_passes_of_augmentation_share_its_training() -> None:
    zipped = ["fold=0,1,2,3,4", "trainer.batch_size=256,256,128,128,64", "model.name=b6,b6,b4,b4,b2"]
    study = load_study(["experiment=seti", *zipped])
    jobs = [job for job in study.jobs() if job.stage == "train"]
    assert len(jobs) == 10
    assert len({job.fit for job in jobs}) == 5
    rates = {job.axes["fold"]: job.config["schedule"]["max"] for job in jobs}
    assert rates == pytest.approx({0: 3.2e-4, 1: 3.2e-4, 2: 1.6e-4, 3: 1.6e-4, 4: 0.8e-4})
    assert {job.config["model"]["name"] for job in jobs} == {"b6", "b4", "b2"}
    assert all("submission" not in job.config for job in jobs), "what is written in the end trains nothing again"
