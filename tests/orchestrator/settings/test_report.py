from __future__ import annotations

from typing import Any

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.settings.report import ReportSettings

STAGES = ["train", "submit"]
AXES = ["seed", "loss.weighting", "model"]


def test_the_shipped_configuration_is_the_default() -> None:
    with initialize_config_module("seedfold.conf", version_base="1.3"):
        shipped: Any = OmegaConf.to_container(compose("config").report)
    assert ReportSettings.parse(shipped) == ReportSettings.parse(None) == ReportSettings()


def test_axes_are_named_as_in_a_condition() -> None:
    settings = ReportSettings.parse({"compare": ["weighting", "model"]})
    settings.check_axes(AXES)
    assert settings.compare == ("weighting", "model")
    assert ReportSettings.parse({"compare": []}).compare == ()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"compares": []}, r"report.compares: unknown key \(did you mean 'compare'\?\)"),
        ({"compare": "model"}, r"report.compare: 'model' is not a list of axes; write \[model\]"),
        (["model"], r"report: \['model'\] is not a mapping"),
        (
            {"compare": ["loss.weihgting"]},
            r"report.compare: loss.weihgting: no such axis \(did you mean 'loss.weighting'",
        ),
        ({"first": "submit/auc.csv"}, r"report.first: 'submit/auc.csv' is not a list of files, each STAGE/FILE; write"),
        ({"first": ["submitt/auc.csv"]}, r"no stage 'submitt' \(did you mean 'submit'\?\); stages: train, submit"),
        ({"first": ["auc.csv"]}, "no stage 'auc.csv'"),
        ({"first": ["submit/weights.ckpt"]}, r"a report shows files that end in one of \.csv, \.svg, \.png"),
    ],
)
def test_mistakes_are_named(given: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        check(given)


def check(given: Any) -> None:
    settings = ReportSettings.parse(given)
    settings.check_axes(AXES)
    settings.check_stages(STAGES)


def test_files_of_stages_come_first() -> None:
    settings = ReportSettings.parse({"first": ["submit/auc.csv", "submit/curves/roc.svg"]})
    settings.check_stages(STAGES)
    assert settings.first == ("submit/auc.csv", "submit/curves/roc.svg")
