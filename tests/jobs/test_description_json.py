"""Tests of descriptions as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from seedfold.jobs.description_json import DescriptionEncoder
from seedfold.jobs.study import load_study


def test_text_is_that_of_each_description_alone(tmp_path: Path) -> None:
    """What jobs share is turned into text once, and the lines are those of `json`."""
    overrides = ["experiment=prevalence_shifts", "task=mura_xr_hand", "study='größe ✓'", "paths.data=/daten"]
    encoder = DescriptionEncoder()
    jobs = list(load_study(overrides, folder=tmp_path).jobs())
    assert len(jobs) > 50
    for job in jobs:
        assert encoder.encode(job) == json.dumps(job.to_dict(), ensure_ascii=False)
