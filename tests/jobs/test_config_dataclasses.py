from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from seedfold.jobs.config_dataclasses import read_settings
from seedfold.jobs.work import ConfigFailure


@dataclass(frozen=True)
class Settings:
    file: str
    over: tuple[str, ...] = ("model",)


def test_lists_become_tuples_and_what_is_not_given_its_default() -> None:
    assert read_settings(Settings, {"file": "a.csv", "over": ["x", "y"]}, "mean") == Settings("a.csv", ("x", "y"))
    assert read_settings(Settings, {"file": "a.csv"}, "mean") == Settings("a.csv")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"file": "a.csv", "ovr": []}, r"mean.ovr: unknown key \(did you mean 'over'\?\); known: file, over"),
        ({}, "mean.file: is missing"),
        (None, "mean.file: is missing"),
    ],
)
def test_keys_that_are_unknown_or_missing_are_told(given: Mapping[str, Any] | None, says: str) -> None:
    with pytest.raises(ConfigFailure, match=says):
        read_settings(Settings, given, "mean")
