"""What a program says by `seedfold.current()` is in the result of its job, once, also after kills."""

from __future__ import annotations

import csv
import errno
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.jobs.work import DataFailure, NonFiniteFailure
from seedfold.results.recording.attempt_file import ATTEMPT_VARIABLE, Attempt
from seedfold.results.recording.collect import collect_records
from seedfold.results.recording.current_run import CurrentRun, StandaloneRun
from seedfold.results.recording.metric_log import append_metrics, read_metrics
from seedfold.results.store.metrics import head_metrics
from seedfold.results.store.predictions import find_predictions, read_heads


def make_attempt(folder: Path, number: int = 1, **config: Any) -> Attempt:
    job = JobDescription("a" * 64, "s", "train", {"lr": 0.1}, {"seed": 3, "fold": 1, **config}, (), Resources(), "toy")
    attempt = Attempt(job, number, folder)
    attempt.write()
    return attempt


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return make_attempt(tmp_path / "job")


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    folder = tmp_path / "staging"
    folder.mkdir()
    return folder


def collected_metrics(attempt: Attempt, staging: Path) -> dict[tuple[str, str], float]:
    collect_records(attempt, staging)
    records = json.loads((staging / "metrics.json").read_text())
    return {(record["split"], record["metric"]): record["value"] for record in records}


def collected_rows(staging: Path) -> list[dict[str, str]]:
    with (staging / "epochs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_logged_metrics_are_curves_and_their_last_values_are_metrics(attempt: Attempt, staging: Path) -> None:
    run = CurrentRun(attempt)
    run.log({"val/accuracy": np.float32(0.5), "train_loss": np.array([2.0])}, step=0)
    run.log({"val/accuracy": 0.75}, step=1)
    run.log({"parameters": 1000})
    metrics = collected_metrics(attempt, staging)
    assert metrics == {("val", "accuracy"): 0.75, ("return", "train_loss"): 2.0, ("return", "parameters"): 1000.0}
    assert collected_rows(staging) == [
        {"epoch": "0", "val/accuracy": "0.5", "train_loss": "2.0"},
        {"epoch": "1", "val/accuracy": "0.75", "train_loss": ""},
    ]


@pytest.mark.parametrize(
    ("monitor", "mode", "best", "step"),
    [("val/loss", None, 1.0, 1), ("val/loss", "max", 3.0, 0), ("val/f1", None, 9.0, 2)],
)
def test_the_best_value_of_the_monitored_metric_is_a_metric_too(
    tmp_path: Path, staging: Path, monitor: str, mode: str | None, best: float, step: int
) -> None:
    attempt = make_attempt(tmp_path / "job", trainer={"monitor": monitor, "monitor_mode": mode})
    for number, (loss, f1) in enumerate([(3.0, 7.0), (1.0, float("nan")), (2.0, 9.0)]):
        CurrentRun(attempt).log({"val/loss": loss, "val/f1": f1}, step=number)
    metrics, name = collected_metrics(attempt, staging), monitor.removeprefix("val/")
    assert metrics["val", f"{name}_best"] == best
    assert metrics["val", f"{name}_best_step"] == step


def test_an_attempt_that_goes_on_replaces_what_an_earlier_one_logged_from_there_on(tmp_path: Path) -> None:
    for step in range(6):
        append_metrics(tmp_path, 1, step, {"loss": step})
    with (tmp_path / "metrics.1.jsonl").open("a") as file:
        file.write('{"step": 6, "val')  # killed in the middle of a write
    for step in (3, 4):
        append_metrics(tmp_path, 2, step, {"loss": 10 * step})
    assert read_metrics(tmp_path).rows == {
        0: {"loss": 0.0},
        1: {"loss": 1.0},
        2: {"loss": 2.0},
        3: {"loss": 30.0},
        4: {"loss": 40.0},
    }


@given(kills=st.lists(st.tuples(st.integers(0, 8), st.integers(1, 4)), max_size=4))
def test_however_often_it_is_killed_each_step_counts_once(
    kills: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, start = tmp_path_factory.mktemp("log"), 0
    for number, (steps, back) in enumerate(kills, 1):
        for step in range(start, start + steps):
            append_metrics(folder, number, step, {"loss": step + number / 10})
        start = max(0, start + steps - back)
    for step in range(start, start + 3):
        append_metrics(folder, len(kills) + 1, step, {"loss": step + 0.9})
    rows = read_metrics(folder).rows
    assert list(rows) == list(range(start + 3))
    assert {step: row["loss"] for step, row in rows.items() if step >= start} == {
        step: step + 0.9 for step in range(start, start + 3)
    }


def test_predictions_in_batches_of_two_processes_are_one_split(attempt: Attempt, staging: Path) -> None:
    program = (
        "import seedfold as sf, sys\n"
        "run, first = sf.current(), int(sys.argv[1])\n"
        "for start in (first, first + 2):\n"
        "    ids = [start, start + 1]\n"
        "    run.predictions('test', sample_id=ids, target=[0, 1], probabilities=[[.9, .1], [.2, .8]])\n"
        "import os; os._exit(0)\n"
    )
    environment = os.environ | {ATTEMPT_VARIABLE: str(attempt.write())}
    for first in ("0", "4"):
        subprocess.run([sys.executable, "-c", program, first], env=environment, check=True)
    collect_records(attempt, staging)
    [head] = read_heads(find_predictions(staging)["test"])
    assert sorted(head.sample_ids) == [str(number) for number in range(8)]
    assert head.targets.dtype == np.int64
    assert head_metrics(head)["accuracy"] == 1.0


def test_a_later_attempt_replaces_predictions_and_keeps_those_that_it_does_not_repeat(
    tmp_path: Path, staging: Path
) -> None:
    CurrentRun(make_attempt(tmp_path / "job")).predictions(
        "val", sample_id=[1, 2, 3], target=[0, 1, 0], logits=[1, 2, 3]
    )
    later = make_attempt(tmp_path / "job", 2)
    [part] = (later.records / "predictions").rglob("*.arrow")
    with part.open("ab") as file:
        file.write(b"\xff\xff\xff\xff\x10\x00")  # killed in the middle of a write
    CurrentRun(later).predictions("val", sample_id=[2], target=[1], logits=[20.0])
    collect_records(later, staging)
    [head] = read_heads(find_predictions(staging)["val"])
    assert dict(zip(head.sample_ids, head.logits[:, 0], strict=True)) == {"1": 1.0, "2": 20.0, "3": 3.0}


def test_labels_that_do_not_exclude_each_other_are_heads(attempt: Attempt, staging: Path) -> None:
    targets, outputs = np.array([[0.0, 1.0], [1.0, np.nan]]), np.array([[-3.0, 2.0], [4.0, 0.0]])
    CurrentRun(attempt).predictions("val", sample_id=["a", "b"], target=targets, logits=outputs)
    collect_records(attempt, staging)
    first, second = read_heads(find_predictions(staging)["val"])
    assert (first.head, second.head) == ("label_0", "label_1")
    assert first.targets.tolist() == [0, 1]
    assert second.known.tolist() == [True, False]
    assert second.logits[:, 0].tolist() == [2.0, 0.0]


def test_values_are_a_regression_even_where_targets_are_whole_numbers(attempt: Attempt, staging: Path) -> None:
    CurrentRun(attempt).predictions("val", sample_id=["a", "b"], target=[1, 2], values=[1.0, 4.0])
    [head] = (collect_records(attempt, staging), list(read_heads(find_predictions(staging)["val"])))[1]
    assert head.is_regression
    assert head_metrics(head)["mae"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"logits": [[0.0, 1.0]], "values": [1.0]}, "give one of logits, probabilities and values"),
        ({}, "given: none"),
        ({"probabilities": [[0.5, 0.9]]}, "sum to 1"),
        ({"probabilities": [1.5]}, "between 0 and 1"),
        ({"logits": [[0.0], [1.0]]}, r"shape \(2, 1\), expected \(1, k\)"),
        ({"logits": [0.0], "target": [0.5]}, "values="),
        ({"logits": [[0.0, 1.0]], "target": [[0, 1, 1]]}, "have to have one shape"),
    ],
)
def test_wrong_predictions_are_refused_at_once(attempt: Attempt, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DataFailure, match=message):
        CurrentRun(attempt).predictions("val", **{"sample_id": ["a"], "target": [1], **arguments})


def test_numbers_that_are_not_finite_are_refused(attempt: Attempt) -> None:
    with pytest.raises(NonFiniteFailure, match="'b'"):
        CurrentRun(attempt).predictions("val", sample_id=["a", "b"], logits=[0.0, float("inf")])


def predict_as(rank: int, monkeypatch: pytest.MonkeyPatch, attempt: Attempt, ids: list[int], target: list[int]) -> None:
    monkeypatch.setenv("RANK", str(rank))
    CurrentRun(attempt).predictions("test", sample_id=ids, target=target, logits=[float(rank)] * len(ids))


def test_a_sample_that_fills_up_the_share_of_another_process_counts_once(
    attempt: Attempt, staging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict_as(1, monkeypatch, attempt, [1, 0], [1, 0])
    predict_as(0, monkeypatch, attempt, [0, 2], [0, 0])
    collect_records(attempt, staging)
    [head] = read_heads(find_predictions(staging)["test"])
    assert dict(zip(head.sample_ids, head.logits[:, 0], strict=True)) == {"0": 0.0, "1": 1.0, "2": 0.0}


def test_one_name_for_the_samples_of_several_processes_fails_the_job(
    attempt: Attempt, staging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict_as(0, monkeypatch, attempt, [0, 1], [0, 1])
    predict_as(1, monkeypatch, attempt, [0, 1], [1, 1])
    with pytest.raises(DataFailure, match=r"1 samples have other targets in other processes \('0'\)"):
        collect_records(attempt, staging)


def test_a_sample_that_is_predicted_twice_fails_the_job(attempt: Attempt, staging: Path) -> None:
    for _ in range(2):
        CurrentRun(attempt).predictions("val", sample_id=["a"], target=[1], logits=[1.0])
    with pytest.raises(DataFailure, match="1 samples were predicted twice"):
        collect_records(attempt, staging)


@pytest.mark.parametrize("in_job", [True, False])
def test_a_process_that_predicts_a_sample_again_is_told_at_once(attempt: Attempt, in_job: bool) -> None:
    run = CurrentRun(attempt) if in_job else StandaloneRun()
    run.predictions("val", sample_id=["a", "b"], target=[1, 0], logits=[1.0, 2.0])
    run.predictions("test", sample_id=["a"], target=[1], logits=[1.0])
    with pytest.raises(DataFailure, match=r"1 samples were predicted twice \('b'\); hand over those of one epoch only"):
        run.predictions("val", sample_id=["b", "c"], target=[1, 0], logits=[1.0, 2.0])


def test_artifacts_and_checkpoints_are_there_for_the_next_attempt(tmp_path: Path, staging: Path) -> None:
    run, drawn = CurrentRun(make_attempt(tmp_path / "job")), tmp_path / "plot.png"
    drawn.write_bytes(b"picture")
    run.artifact(drawn)
    run.artifact(drawn, "renamed.png")
    (run.checkpoints / "last-1.pt").touch()
    later = make_attempt(tmp_path / "job", 2)
    (CurrentRun(later).checkpoints / "last-2.pt").touch()
    os.utime(CurrentRun(later).checkpoints / "last-1.pt", (1, 1))
    assert CurrentRun(later).checkpoint() == later.folder / "checkpoints" / "last-2.pt"
    assert CurrentRun(later).checkpoint("best") is None
    collect_records(later, staging)
    assert {file.name for file in (staging / "outputs").iterdir()} == {"plot.png", "renamed.png"}
    with pytest.raises(DataFailure, match="without folders"):
        run.artifact(drawn, "../plot.png")


def test_what_a_metric_may_be(attempt: Attempt) -> None:
    torch = pytest.importorskip("torch")
    CurrentRun(attempt).log({"loss": torch.tensor(0.5), "n": True}, step=np.int64(1))
    assert read_metrics(attempt.records).rows == {1: {"loss": 0.5, "n": 1.0}}
    for wrong in ("0.5", None, np.arange(2)):
        with pytest.raises(DataFailure, match="metric loss"):
            CurrentRun(attempt).log({"loss": wrong})


def test_one_process_of_those_that_train_together_logs(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    for variables in ({"LOCAL_RANK": "1"}, {"NODE_RANK": "1", "LOCAL_RANK": "0"}, {"RANK": "2", "LOCAL_RANK": "0"}):
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            CurrentRun(attempt).log({"loss": 1.0}, step=0)
    assert read_metrics(attempt.records).rows == {}


def test_a_program_is_asked_to_stop_once_it_has_logged_the_epochs_of_its_rung(tmp_path: Path) -> None:
    def begin(number: int, pause_after: int | None) -> CurrentRun:
        plain = make_attempt(tmp_path, number)
        return CurrentRun(Attempt.read(replace(plain, pause_after=pause_after).write()))

    run = begin(1, 2)
    run.log({"loss": 1.0}, step=1)
    assert not run.stop_requested
    run.log({"loss": 0.5})
    run.log({"loss": 0.5}, step=1)
    assert not run.stop_requested
    run.log({"loss": 0.25}, step=2)
    assert run.stop_requested
    later = begin(2, 3)
    assert not later.stop_requested
    later.log({"loss": 0.125}, step=3)
    assert later.stop_requested
    within = begin(4, 1)
    within.log_within_epoch({"loss": 0.5}, step=4)
    assert not within.stop_requested, "more metrics of this epoch come"
    assert not within.is_paused_after(0)
    assert within.is_paused_after(1)
    assert within.stop_requested
    last = begin(3, None)
    last.log({"loss": 0.0625}, step=4)
    assert not last.stop_requested


def run_python(program: str, arguments: Sequence[str] = ()) -> str:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    ).stdout


def test_a_program_on_its_own_gets_a_stand_in_and_no_heavy_import() -> None:
    program = (
        "import sys, seedfold as sf\n"
        "run = sf.current()\n"
        "run.log({'val/loss': 0.25}, step=3)\n"
        "assert run.checkpoint('last') is None and not run.stop_requested and not run.is_job\n"
        "assert run.seed is None and run.config == {} and run.axes == {}\n"
        "print(sorted({'numpy', 'torch', 'pandas', 'pyarrow'} & set(sys.modules)))\n"
    )
    assert run_python(program) == "step 3: val/loss 0.25\n[]\n"


def test_the_stand_in_finds_the_mistakes_that_a_job_would_find() -> None:
    run = StandaloneRun()
    with pytest.raises(DataFailure, match="metric loss: has 2 values"):
        run.log({"loss": np.ones(2)})
    run.predictions("val", sample_id=[1], target=[0], logits=[[0.5, 0.5]])
    with pytest.raises(DataFailure, match="give sample_id or inputs, so that samples are known by name; neither"):
        run.predictions("val", target=[0], logits=[[0.5, 0.5]])
    with pytest.raises(DataFailure, match="'val'"):
        run.predictions("val", sample_id=[2, 3], target=[0], logits=[[0.5, 0.5]])
    with pytest.raises(NonFiniteFailure):
        run.predictions("val", sample_id=[2], target=[0], logits=[[0.5, float("nan")]])


@pytest.mark.parametrize("ids", [[7, 8], np.array([7, 8]), [np.int64(7), np.int64(8)], pd.Series([7, 8])])
def test_numbers_name_samples_whatever_holds_them(attempt: Attempt, staging: Path, ids: Any) -> None:
    CurrentRun(attempt).predictions("val", sample_id=ids, target=[0, 1], logits=[1, 2])
    collect_records(attempt, staging)
    [head] = read_heads(find_predictions(staging)["val"])
    assert head.sample_ids.tolist() == ["7", "8"]


@pytest.mark.slow
def test_tensors_name_samples(attempt: Attempt, staging: Path) -> None:
    import torch

    run = CurrentRun(attempt)
    run.predictions("val", sample_id=torch.tensor([7, 8]), target=[0, 1], logits=[1, 2])
    run.predictions("val", sample_id=[torch.tensor(9)], target=[0], logits=[1])
    collect_records(attempt, staging)
    [head] = read_heads(find_predictions(staging)["val"])
    assert head.sample_ids.tolist() == ["7", "8", "9"]


def test_inputs_name_samples_in_any_order_and_batches(tmp_path: Path) -> None:
    inputs, names = np.random.default_rng(0).normal(size=(4, 2, 3)), []
    for number, order in enumerate(([0, 1, 2, 3], [3, 1, 0, 2])):
        attempt, staging = make_attempt(tmp_path / f"job{number}"), tmp_path / f"staging{number}"
        staging.mkdir()
        for part in (order[:1], order[1:]):
            CurrentRun(attempt).predictions("val", inputs=inputs[part], target=[0] * len(part), logits=part)
        collect_records(attempt, staging)
        [head] = read_heads(find_predictions(staging)["val"])
        names.append(dict(zip(head.logits[:, 0], head.sample_ids, strict=True)))
    assert names[0] == names[1]
    assert len(set(names[0].values())) == 4


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({"inputs": np.ones((2, 3))}, "1 samples have the same inputs as others"),
        ({"inputs": [{}, {}]}, "inputs have to be one array or tensor"),
        ({"inputs": [[1], [2]], "sample_id": [1, 2]}, "give sample_id or inputs, .* both"),
        ({"sample_id": np.ones((2, 2))}, r"one name for each sample; it is \(2, 2\)"),
        ({"sample_id": "ab"}, "one name for each sample; it is one text"),
    ],
)
def test_samples_that_have_no_names_are_refused(attempt: Attempt, samples: dict[str, Any], message: str) -> None:
    with pytest.raises(DataFailure, match=message):
        CurrentRun(attempt).predictions("val", **samples, target=[0, 1], logits=[1, 2])


def test_a_process_of_a_job_knows_its_configuration(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ATTEMPT_VARIABLE, str(attempt.write()))
    program = "import seedfold as sf; run = sf.current(); print(run.seed, run.fold, dict(run.axes), run.is_job)"
    assert run_python(program) == "3 1 {'lr': 0.1} True\n"


def test_parts_that_cannot_be_read_for_a_moment_are_not_left_out(
    attempt: Attempt, staging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CurrentRun(attempt).predictions("val", sample_id=["a", "b"], target=[0, 1], logits=np.eye(2))
    read, failures = Path.read_bytes, [OSError(errno.EIO, "Input/output error")]

    def read_with_an_error(path: Path) -> bytes:
        if path.suffix == ".arrow" and failures:
            raise failures.pop()
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_with_an_error)
    collect_records(attempt, staging)
    assert failures == []
    [head] = read_heads(find_predictions(staging)["val"])
    assert list(head.sample_ids) == ["a", "b"]


def test_an_attempt_that_was_killed_before_its_first_row_leaves_nothing(attempt: Attempt, staging: Path) -> None:
    (attempt.records / "predictions" / "val" / "main").mkdir(parents=True)
    (attempt.records / "predictions" / "val" / "main" / f"1-00000-{'a' * 32}.arrow").touch()
    collect_records(attempt, staging)
    assert find_predictions(staging) == {}
