from __future__ import annotations

import pytest

from seedfold.jobs.study import load_study


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
