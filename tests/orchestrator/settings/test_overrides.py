from __future__ import annotations

import pytest

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.settings.overrides import apply_volatile_overrides

SETTINGS = {"identity": {"volatile": ["checkpoint.**"]}}


def test_a_text_in_place_of_a_number_is_refused_before_jobs_are_resumed() -> None:
    config = {"checkpoint": {"every_seconds": 600}}
    job = JobDescription("a" * 64, "s", "train", {"seed": 0}, config, (), Resources(), "toy.run", "a" * 64)
    with pytest.raises(UsageError, match=r"checkpoint\.every_seconds=often: .*is a number \(600\)"):
        apply_volatile_overrides([job], SETTINGS, ["checkpoint.every_seconds=often"])
    [changed], _ = apply_volatile_overrides([job], SETTINGS, ["checkpoint.every_seconds=60"])
    assert changed.config == {"checkpoint": {"every_seconds": 60}}
