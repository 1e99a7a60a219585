"""``seedfold compare`` end to end: values of an axis, two studies, two jobs."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from toyproject import Toy, make_toy

KEYS = ("metric", "a", "b", "n", "difference", "low", "high", "p", "p_adjusted", "test")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """Two signals in the study ``toy``, one of six pairs missing; one seed of both in ``other``, with fewer steps."""
    project = make_toy(tmp_path_factory.mktemp("two"))
    assert project.launch("signal=0.5,2.0", "--where", "signal=2 seed=0,1").returncode == 0
    assert project.run_in_process("resume", "toy", "--where", "signal=0.5 seed=0").returncode == 0
    assert project.run_in_process("resume", "toy", "--where", "signal=0.5 fold=0,1").returncode == 0
    assert project.launch("signal=0.5,2.0", "trainer.max_steps=50", "study=other", "--where", "seed=0").returncode == 0
    project.wait_for_workers()
    return project


def test_two_values_are_compared_pair_by_pair(two: Toy) -> None:
    rows = two.json_of("compare", "toy", "--over", "signal")
    assert {tuple(row)[: len(KEYS)] for row in rows} == {KEYS}
    assert {(row["a"], row["b"], row["n"], row["expected"]) for row in rows} == {(0.5, 2.0, 5, 6)}
    assert {row["test"] for row in rows} == {"corrected resampled t"}
    accuracy = {row["split"]: row["difference"] for row in rows if row["metric"] == "accuracy"}
    assert set(accuracy) == {"val", "test"}
    assert min(accuracy.values()) > 0.2


def test_what_is_missing_is_told(two: Toy) -> None:
    shown = two.output_of("compare", "toy", "--over", "signal", "--split", "val")
    assert "0.5 → 2.0  (val, head class: 5 of 6 pairs)" in shown
    assert "no pair: seed=1 fold=2: 0.5 not done" in shown
    assert "corrected resampled t-test" in shown


def test_rows_are_chosen_and_written(two: Toy, tmp_path: Path) -> None:
    chosen = ("compare", "toy", "--over", "signal", "--metric", "accuracy", "--where", "seed=0 split=test")
    [row] = csv.DictReader(two.output_of(*chosen, "--format", "csv").splitlines())
    assert tuple(row)[: len(KEYS)] == KEYS
    assert row["n"] == row["expected"] == "3"
    out = tmp_path / "comparison.json"
    two.output_of(*chosen, "--out", str(out))
    [written] = json.loads(out.read_text())
    assert written["difference"] == pytest.approx(float(row["difference"]))


@pytest.mark.parametrize("columns", ["40", "80"])
def test_a_comparison_fits_narrow_terminals(two: Toy, columns: str) -> None:
    shown = two.run_in_process(
        "compare", "toy", "--over", "signal", "--split", "val", COLUMNS=columns
    ).stdout.splitlines()
    table = [line for line in shown if line.startswith("  ")]
    assert max(map(len, table)) <= int(columns)
    assert "adjusted" in "".join(table[:7])


def test_samples_are_compared_within_folds(two: Toy) -> None:
    rows = two.json_of("compare", "toy", "--over", "signal", "--samples", "--where", "seed=0")
    assert {tuple(row)[: len(KEYS)] for row in rows} == {KEYS}
    validation = [(row["test"], row["n"], row["folds"]) for row in rows if row["split"] == "val"]
    assert validation == [("McNemar exact", 30, 3), ("paired bootstrap", 30, 3)]
    assert [row["axes"] for row in rows if row["split"] == "test" and row["metric"] == "accuracy"] == [
        {"seed": 0, "fold": fold} for fold in range(3)
    ]
    assert "McNemar's exact test" in two.output_of("compare", "toy", "--over", "signal", "--samples")


def test_two_studies_are_compared_at_the_places_that_both_have(two: Toy) -> None:
    rows = two.json_of("compare", "other", "toy", "--where", "split=test metric=accuracy")
    assert [(row["a"], row["b"], row["over"], row["axes"]) for row in rows] == [
        ("other", "toy", "study", {"signal": signal}) for signal in (0.5, 2.0)
    ]
    # They predict the same, whatever the number of steps.
    assert {(row["n"], row["expected"], row["difference"], row["p"]) for row in rows} == {(3, 6, 0.0, 1.0)}
    assert "no pair: seed=1 fold=0: other not done" in two.output_of("compare", "other", "toy", "--split", "test")


def test_two_jobs_are_told_apart(two: Toy) -> None:
    jobs = ("signal=0.5 seed=0 fold=0", "signal=2 seed=0 fold=0", "--study", "toy")
    shown = two.output_of("compare", *jobs)
    for line in ("  signal: 0.5 → 2.0", "code: the same", "packages: the same", "host: the same"):
        assert line in shown.splitlines()
    rows = two.json_of("compare", *jobs, "--split", "test")
    assert {tuple(row)[: len(KEYS)] for row in rows} == {KEYS}
    tests = {row["metric"]: row["test"] for row in rows}
    assert (tests["accuracy"], tests["auroc"], tests["log_loss"]) == ("McNemar exact", "paired bootstrap", None)
    assert {row["n"] for row in rows if row["test"]} == {30}


def test_jobs_of_other_folds_share_the_test_samples_alone(two: Toy) -> None:
    rows = two.json_of("compare", "signal=2 seed=0 fold=0", "signal=2 seed=0 fold=1", "--study", "toy")
    assert {row["split"] for row in rows if row["test"]} == {"test"}
    assert {row["n"] for row in rows if row["split"] == "val"} == {1}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("toy",), ("--over is missing", "seed, fold, signal")),
        (("toy", "--over", "sed"), ("sed", "did you mean 'seed'")),
        (("toy", "--over", "signal", "--metric", "acuracy"), ("--metric acuracy", "did you mean 'accuracy'")),
        (("toy", "--over", "signal", "--split", "vall"), ("--split vall", "did you mean 'val'")),
        (("toy", "--over", "signal", "--where", "signal=2"), ("signal", "one value, 2.0")),
        (("toy", "other", "--over", "signal"), ("--over signal", "leave other out")),
        (("toy", "othr"), ("othr", "did you mean 'other'")),
        (("toy", "--over", "signal", "--out", "table.txt"), ("table.txt", "csv, htm, html, json")),
        (("tyo", "--over", "signal"), ("tyo", "did you mean 'toy'")),
        (("seed=0", "seed=1 fold=0"), ("seed=0", "write more of the id or address")),
        (("signal=2 seed=0 fold=0", "signal=2 seed=0 fold=0", "--study", "toy"), ("the same job",)),
        (("signal=0.5 seed=1 fold=2", "signal=2 seed=1 fold=2", "--study", "toy"), ("waiting", "no result yet")),
        (("signal=2 seed=0 fold=0", "signal=2 seed=0 fold=1", "--where", "seed=0"), ("--where", "two jobs")),
        (("toy", "--over", "signal", "--study", "toy"), ("--study",)),
        ((), ("STUDY|JOB",)),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else None,
)
def test_bad_input_is_told_first(two: Toy, arguments: tuple[str, ...], says: tuple[str, ...]) -> None:
    ended = two.run_in_process("compare", *arguments)
    assert ended.returncode == 2, ended.stdout
    first, *candidates = ended.stderr.splitlines()
    assert all(line.startswith("  ") for line in candidates)
    for text in says:
        assert text in first


@pytest.mark.parametrize("format", ["latex", "markdown", "html"])
def test_a_comparison_is_written_for_papers(two: Toy, format: str) -> None:
    shown = two.output_of("compare", "toy", "--over", "signal", "--round", "2", "--format", format)
    difference = next(row for row in two.json_of("compare", "toy", "--over", "signal") if row["metric"] == "accuracy")
    for text in ("accuracy", "5 of 6", f"{difference['difference']:.2f}", "corrected resampled t"):
        assert text in shown
    marks = {"latex": r"\toprule", "markdown": "| ---", "html": "<table"}
    assert marks[format] in shown
    jobs = ("signal=0.5 seed=0 fold=0", "signal=2 seed=0 fold=0", "--study", "toy")
    assert "McNemar exact" in two.output_of("compare", *jobs, "--format", format)


def test_numbers_are_rounded_and_every_column_is_shown_where_asked(two: Toy) -> None:
    chosen = ("compare", "toy", "--over", "signal", "--metric", "accuracy", "--split", "val")
    narrow = two.run_in_process(*chosen, COLUMNS="40").stdout
    wide = two.run_in_process(*chosen, "--wide", "--round", "1", COLUMNS="40").stdout
    [row] = two.json_of(*chosen)
    assert "95 % interval" not in narrow
    assert "95 % interval" in wide
    assert f" {row['difference']:+.1f} " in wide
    assert f" {row['low']:+.1f} … {row['high']:+.1f} " in wide
    [written] = csv.DictReader(two.output_of(*chosen, "--format", "csv", "--round", "1").splitlines())
    assert float(written["difference"]) == round(row["difference"], 1)
    assert (float(written["p"]), written["a"]) == (pytest.approx(row["p"]), "0.5")


def test_what_is_stale_is_told(two: Toy) -> None:
    work = two.folder / "toy" / "work.py"
    source = work.read_text()
    work.write_text(source.replace('config["signal"] * np', 'config["signal"] * 1.5 * np'))
    try:
        line = "done jobs were computed by other code (toy/work.py)"
        assert line in two.output_of("compare", "toy", "--over", "signal")
        assert line in two.run_in_process("compare", "toy", "--over", "signal", "--format", "latex").stderr
        for study in ("other", "toy"):
            assert re.search(rf"^{study}: \d+ of \d+ {re.escape(line)}", two.output_of("compare", "other", "toy"), re.M)
    finally:
        work.write_text(source)
