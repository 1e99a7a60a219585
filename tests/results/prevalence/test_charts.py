from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seedfold.results.prevalence.charts import Chart, make_charts

TASKS, RATIOS = ("hip", "knee"), (1.0, 2.0)


def rows(values: dict[tuple[Any, ...], float], *keys: str) -> pd.DataFrame:
    """Rows for each task and ratio: the knee has 1 more than the hip, ratio 2 has 10 more than ratio 1."""
    return pd.DataFrame(
        {"task": task, "ratio": ratio, **dict(zip(keys, place, strict=True)), "value": value + knee + 10 * (ratio - 1)}
        for (knee, task), ratio, (place, value) in itertools.product(enumerate(TASKS), RATIOS, values.items())
    )


def drawn(name: str, table: pd.DataFrame) -> dict[str, Chart]:
    return {chart.name: chart for chart in make_charts({name: table})}


def test_errors_of_estimation_are_means_over_tasks() -> None:
    values = {("CC", "absolute_error"): 0.4, ("HDy", "absolute_error"): 0.2, ("CC", "nkld"): 7.0}
    chart = drawn("quantification_error", rows(values, "method", "metric"))["estimation"]
    assert chart.means["CC"].mean.tolist() == pytest.approx([0.9, 10.9])
    assert [(line.series, line.dashed) for line in chart.lines()] == [(0, False), (0, True)]


def test_regret_is_what_the_best_threshold_would_have_given() -> None:
    values = {(rule, metric): value for metric in ("accuracy", "ec") for rule, value in
              (("argmax", 0.5), ("dev_test", 0.75), ("app_test", 1.0))}  # fmt: skip
    table = rows(values, "rule", "metric").assign(calibration="none", priors="none")
    chart = drawn("decisions", table)["regret"]
    assert {name: line.mean.tolist() for name, line in chart.means.items()} == {
        "accuracy, dev_test": pytest.approx([0.25, 0.25]),
        "accuracy, argmax": pytest.approx([0.5, 0.5]),
    }


def test_retrained_models_are_compared_and_speak_for_nothing_else() -> None:
    values = {
        ("app_test", "accuracy"): 0.25, ("dev_test", "accuracy"): 0.25,
        ("app_test", "balanced_accuracy"): 0.5, ("dev_test", "balanced_accuracy"): 0.75,
    }  # fmt: skip
    table = rows(values, "split", "metric").assign(calibration="none", priors="none")
    parts = [
        table.assign(stage="first", seed=0),
        table.assign(stage="first", seed=1, value=table["value"] + 2),
        table.assign(stage="anew", imbalance_ratio=table["ratio"], value=table["value"] + 5),
    ]
    found = drawn("performance", pd.concat(parts, ignore_index=True))
    assert found["drift"].means["balanced accuracy"].mean.tolist() == pytest.approx([-0.25, -0.25])
    stages = found["stages"]
    assert stages.means["accuracy, anew"].mean.tolist() == pytest.approx([5.75, 15.75])
    assert stages.means["balanced accuracy, anew"].mean.tolist() == pytest.approx([6.0, 16.0])
    lines = dict(zip(stages.means, stages.lines(), strict=True))
    assert [name for name, line in lines.items() if line.dashed] == [
        "balanced accuracy, first", "balanced accuracy, anew"
    ]  # fmt: skip
    assert lines["accuracy, anew"].series == lines["balanced accuracy, anew"].series
    assert found["spread"].means["first, balanced accuracy"].mean.tolist() == pytest.approx([2**0.5, 2**0.5])
    assert list(found["spread"].means) == ["first, accuracy", "first, balanced accuracy"]


def test_a_file_has_its_legend_and_stands_alone() -> None:
    values = {("CC", "absolute_error"): 0.4, ("ACC", "absolute_error"): 0.125}
    [chart] = drawn("quantification_error", rows(values, "method", "metric")).values()
    texts = {element.text for element in ET.fromstring(chart.to_svg_file()).iter() if element.text}
    assert {"CC", "ACC", "Error of estimated prevalences", "absolute error"} <= texts
    assert any("prefers-color-scheme: dark" in text for text in texts)


def test_nothing_is_drawn_of_empty_tables() -> None:
    assert drawn("performance", pd.DataFrame(columns=["task", "ratio"])) == {}


def test_a_task_that_drops_out_does_not_bend_the_line() -> None:
    table = rows({("CC", "absolute_error"): 0.4}, "method", "metric")
    easy = [{"task": "easy", "ratio": 1.0, "method": "CC", "metric": "absolute_error", "value": 100.0}]
    [chart] = drawn("quantification_error", pd.concat([table, pd.DataFrame(easy)], ignore_index=True)).values()
    assert chart.means["CC"].mean.tolist() == pytest.approx([0.9, 10.9])
    assert [entry.value for entry in chart.to_figure().legend] == ["(2 of 3 tasks)"]
    assert "Such a line is over the tasks that all its points have." in chart.caption


def test_a_line_breaks_where_few_tasks_have_all_ratios() -> None:
    table = rows({("CC", "absolute_error"): 0.4}, "method", "metric")
    table = table[(table["task"] == "hip") | (table["ratio"] == 1.0)]
    others = [
        {"task": f"t{number}", "ratio": 1.0, "method": "CC", "metric": "absolute_error", "value": 1.0}
        for number in range(3)
    ]
    [chart] = drawn("quantification_error", pd.concat([table, pd.DataFrame(others)], ignore_index=True)).values()
    [line] = chart.lines()
    assert np.isnan(line.y).tolist() == [False, True, False]
    assert [entry.value for entry in chart.to_figure().legend] == ["(1 to 5 of 5 tasks)"]


def test_the_spread_over_tasks_is_a_band_or_a_number() -> None:
    few = drawn("quantification_error", rows({("CC", "absolute_error"): 0.4}, "method", "metric"))["estimation"]
    [line] = few.lines()
    assert line.low is not None
    assert line.low.tolist() == pytest.approx([0.9 - 0.5**0.5, 10.9 - 0.5**0.5])
    many = {(f"M{number}", "absolute_error"): 0.4 for number in range(5)}
    chart = drawn("quantification_error", rows(many, "method", "metric"))["estimation"]
    assert all(line.low is None for line in chart.lines())
    assert [entry.value for entry in chart.to_figure().legend] == ["± 0.71"] * 5
