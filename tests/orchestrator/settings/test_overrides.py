from __future__ import annotations

import pytest

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.settings.login import find_login_host
from seedfold.orchestrator.settings.overrides import apply_volatile_overrides

SETTINGS = {"identity": {"volatile": ["checkpoint.**"]}}


def test_a_text_in_place_of_a_number_is_refused_before_jobs_are_resumed() -> None:
    config = {"checkpoint": {"every_seconds": 600}}
    job = JobDescription("a" * 64, "s", "train", {"seed": 0}, config, (), Resources(), "toy.run", "a" * 64)
    with pytest.raises(UsageError, match=r"checkpoint\.every_seconds=often: .*is a number \(600\)"):
        apply_volatile_overrides([job], SETTINGS, ["checkpoint.every_seconds=often"])
    [changed], _ = apply_volatile_overrides([job], SETTINGS, ["checkpoint.every_seconds=60"])
    assert changed.config == {"checkpoint": {"every_seconds": 60}}


@pytest.mark.parametrize("override", ["checkpoint.every_seconds=[6", "cluster.login='me@there", "cluster.login=a#"])
def test_what_no_parser_can_read_is_told_without_its_tokens(override: str) -> None:
    with pytest.raises(UsageError) as caught:
        apply_volatile_overrides([], SETTINGS, [override])
    assert str(caught.value).startswith(f"{override}: Hydra cannot read this; close what is open in it")
    if override.startswith("cluster.login"):
        with pytest.raises(UsageError) as again:
            find_login_host(None, [override])
        assert str(again.value) == str(caught.value)


def test_commands_run_on_one_host() -> None:
    with pytest.raises(UsageError, match=r"cluster\.login=a,b: commands run on one host"):
        find_login_host(None, ["cluster.login=a,b"])
