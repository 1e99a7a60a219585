"""The tables of prevalence shift by the command, over predictions made elsewhere."""

from __future__ import annotations

import io
import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
from shift_frames import make_predictions
from toyproject import SEEDFOLD, WAIT_S, Toy, make_toy, printed_by, read_files

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.cli.analysis import write_table
from seedfold.orchestrator.cli.table_output import OutputOptions, TableOutput

FEW = ("--ratios", "1,2", "--methods", "CC,ACC")
TASKS = ("hip", "knee", "thorax")


@pytest.fixture
def away(toy: Toy) -> Toy:
    """A project whose study ``away`` has predictions of three tasks."""
    return take_in(toy)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """Another one, to look at only."""
    return take_in(make_toy(tmp_path_factory.mktemp("shared")))


def take_in(toy: Toy) -> Toy:
    for seed, task in enumerate(TASKS):
        make_predictions(seed).to_csv(toy.folder / f"{task}.csv", index=False)
        toy.output_of("import", f"{task}.csv", "--study", "away", "--set", f"task={task}")
    return toy


def parts(toy: Toy) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in toy.root.glob("away/cache/prevalence/*/*.parquet")}


@pytest.mark.slow
def test_tables_as_files_to_read_and_in_the_report(away: Toy) -> None:
    text = away.output_of("results", "away", "quantification_error", *FEW, "--format", "csv")
    table = pd.read_csv(io.StringIO(text))
    assert table.columns.tolist() == ["task", "ratio", "n", "method", "metric", "value"]
    assert table[["task", "ratio", "method"]].drop_duplicates().shape == (3 * 2 * 2, 3)
    one = away.output_of("results", "away", "quantification_error", *FEW, "--where", "task=hip", "--format", "csv")
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(one)), table[table["task"] == "hip"])
    for width in ("100", "40"):
        shown = away.run_in_process("results", "away", "quantification_error", *FEW, COLUMNS=width)
        assert max(map(len, shown.stdout.splitlines()[:3])) <= int(width)
        mean = table.loc[(table["method"] == "ACC") & (table["metric"] == "absolute_error"), "value"].mean()
        assert f"{mean:.4f}" in shown.stdout
    before = parts(away)
    page = Path(away.output_of("report", "away").strip()).read_text()
    assert "Error of estimated prevalences" in page
    assert parts(away) == before


@pytest.mark.slow
def test_a_study_that_has_more_says_what_is_left_out(away: Toy) -> None:
    assert away.launch("study=away", "--limit", "2").returncode == 0
    ended = away.run_in_process(
        "results", "away", "quantification", "--ratios", "1,20", "--methods", "CC", "--format", "csv"
    )
    assert ended.stderr.splitlines() == [
        "seedfold: 2 jobs lack one of the splits dev_cal, dev_test, app_test: left out",
        "seedfold: 3 ratios of a task are impossible, with too few samples of a class: no rows",
    ]
    assert len(pd.read_csv(io.StringIO(ended.stdout))) == 3 * 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("quantification", "--ratios", "0.5"), ("ratios: 0.5", "at least 1")),
        (("quantification", "--ratios", "1,two"), ("ratios: 'two'",)),
        (("quantification", "--ratios", "range(1,"), ("range(1,",)),
        (("quantification", "--methods", "CC,ACD"), ("'ACD'", "did you mean 'ACC'")),
        (("calibration", "--zeros", "epsilom"), ("epsilom", "did you mean 'epsilon'")),
        (("calibration", "--methods", "CC"), ("--methods", "calibration")),
        (
            ("calibration", "--by", "tusk", "--ratios", "1"),
            ("--by tusk", "did you mean 'task'", "columns: task, ratio"),
        ),
        (("calibration", "--split", "app_test"), ("--split app_test", "app_test=NAME")),
        (("calibration", "--split", "app_tset=clinic"), ("'app_tset'", "did you mean 'app_test'")),
        (("calibration", "--split", "app_test=dev_cal"), ("app_test=dev_cal", "need three different names")),
        (("calibration", "--split", "app_test=clinic"), ("no finished job predicts", "there are app_test, dev_cal")),
        (("calibration", "--over", "task"), ("--over", "calibration")),
        (("metrics", "--ratios", "1"), ("--ratios", "metrics")),
        (("calibratoin",), ("calibratoin", "did you mean 'calibration'")),
        (("calibration", "--where", "tusk=hip"), ("tusk", "task")),
        (("calibration", "--where", "task=ankle"), ("calibration", "no finished job predicts")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bad_input_is_one_line_and_writes_nothing(
    shared: Toy, arguments: tuple[str, ...], says: tuple[str, ...]
) -> None:
    before = read_files(shared.folder)
    ended = shared.run_in_process("results", "away", *arguments)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr
    assert [words for words in says if words not in ended.stderr] == [], ended.stderr
    assert read_files(shared.folder) == before


@pytest.mark.parametrize(("table", "says"), [("calibration", "any task$"), ("decisions", "any task of two classes$")])
def test_a_table_without_rows_says_why(table: str, says: str) -> None:
    given: OutputOptions = {"format": None, "out": None, "decimals": None, "wide": False, "limit": None}
    with pytest.raises(UsageError, match=says):
        write_table(table, pd.DataFrame(columns=["task", "ratio"]), [], TableOutput.from_options(given), [])


@pytest.fixture(scope="module")
def clinics(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A project whose study ``clinics`` has a task with labels, and one whose deployment has none."""
    toy = make_toy(tmp_path_factory.mktemp("clinics"))
    frame = make_predictions(4)
    frame.to_csv(toy.folder / "known.csv", index=False)
    frame["target"] = frame["target"].astype("Int64").mask(frame["split"] == "app_test")
    frame.to_csv(toy.folder / "clinic.csv", index=False)
    toy.output_of("import", "known.csv", "--study", "clinics", "--set", "task=known")
    toy.output_of("import", "clinic.csv", "--study", "clinics", "--set", "task=clinic", "--unlabelled")
    return toy


@pytest.mark.slow
def test_estimates_are_shown_and_what_cannot_be_said_is_told(clinics: Toy) -> None:
    shown = clinics.output_of(
        "results", "clinics", "quantification", "--ratios", "1,2", "--methods", "cc,acc"
    ).splitlines()
    assert shown[0].split() == ["task", "ratio", "class", "n", "true", "CC", "ACC"]
    assert [line.split()[:3] for line in shown[1:7]] == [
        ["known", "1", "0"], ["known", "1", "1"], ["known", "2", "0"], ["known", "2", "1"],
        ["clinic", "-", "0"], ["clinic", "-", "1"],
    ]  # fmt: skip
    assert shown[7] == "1 job has no labels in app_test: prevalences are estimated there, but their error is not known"
    options = ("--ratios", "1,2", "--methods", "cc,acc", "--format", "csv")
    table = pd.read_csv(io.StringIO(clinics.output_of("results", "clinics", "quantification", *options)))
    clinic = table[table["task"] == "clinic"]
    for method, column in {"CC": 5, "ACC": 6}.items():
        values = clinic.loc[clinic["method"] == method, "estimate"]
        assert [line.split()[column] for line in shown[5:7]] == [f"{value:.4f}" for value in values]
        assert values.sum() == pytest.approx(1)


def test_means_by_ratio_on_the_terminal_as_rows_and_as_markup(clinics: Toy) -> None:
    arguments = (
        "results",
        "clinics",
        "quantification_error",
        "--ratios",
        "1,2",
        "--methods",
        "CC,ACC",
        "--by",
        "ratio",
    )
    shown = clinics.output_of(*arguments).splitlines()
    assert shown[0].split() == ["ratio", "method", "n", "absolute_error", "nkld"]
    assert [line.split()[:2] for line in shown[1:5]] == [["1", "CC"], ["1", "ACC"], ["2", "CC"], ["2", "ACC"]]
    assert sum("★" in line for line in shown) >= 2
    rows = pd.read_csv(io.StringIO(clinics.output_of(*arguments, "--format", "csv")))
    assert rows.columns.tolist() == ["ratio", "method", "metric", "mean", "sd", "n", "expected"]
    assert f"{rows['mean'].iloc[0]:.4f}" in shown[1]
    for markup, bold in {"latex": r"\mathbf{", "markdown": "**", "html": "<b>"}.items():
        assert bold in clinics.output_of(*arguments, "--format", markup)


def ended_with_a_part(away: Toy, *command: str, how: signal.Signals) -> tuple[int, str]:
    """Start a command and end it when it has a part of what it computes; begin anew where it was through already."""
    while True:
        started = away.start(*command, program=SEEDFOLD, LOKY_MAX_CPU_COUNT="2")
        while not parts(away) and started.poll() is None:
            time.sleep(0.05)
        with suppress(ProcessLookupError):
            os.killpg(started.pid, how)
        _, stderr = started.communicate(timeout=WAIT_S)
        if started.returncode:
            return started.returncode, stderr
        shutil.rmtree(away.root / "away" / "cache")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_what_was_computed_before_an_end_is_kept(away: Toy, how: signal.Signals) -> None:
    command = ("results", "away", "calibration", "--format", "csv")
    code, stderr = ended_with_a_part(away, *command, how=how)
    if how == signal.SIGINT:
        assert code == 130
        # A process that was only starting may still say its name, before or after.
        assert "seedfold: interrupted" in stderr.splitlines()
        # Python says so itself where the signal comes while it imports a module.
        assert "Traceback" not in stderr.partition("Exception ignored in")[0]
    before = parts(away)
    # One process, which has imported everything, and no pool of others.
    table = pd.read_csv(io.StringIO(printed_by(away.run_in_process(*command))))
    assert table["task"].unique().tolist() == list(TASKS)
    after = parts(away)
    assert len(after) == len(TASKS)
    assert before.items() <= after.items()
