"""Tables of results: on terminals of several widths, in the formats that papers take, and rounded."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
from toyproject import Toy


def lines(toy: Toy, *arguments: str, columns: int) -> list[str]:
    shown = toy.run_in_process("results", "toy", *arguments, COLUMNS=str(columns))
    assert shown.returncode == 0, shown.stderr
    return shown.stdout.splitlines()


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("table", ["metrics", "runs", "oof", "ensemble"])
def test_a_table_fits_and_says_below_what_it_leaves_out(finished: Toy, table: str, columns: int) -> None:
    shown = lines(finished, table, columns=columns)
    header = shown[0].split()
    assert max(map(len, shown[:3])) <= columns
    whole = lines(finished, table, "--wide", columns=columns)[0].split()
    hidden = [line for line in shown if line.startswith("not shown: ")]
    assert len(hidden) == (1 if len(header) < len(whole) else 0)
    if hidden:
        assert hidden[0].endswith("; --wide or --format csv shows all")
        listed = hidden[0].removeprefix("not shown: ").partition("; ")[0].split(", ")
        assert sorted([name.partition("=")[0] for name in listed] + header) == sorted(whole)
    metrics = [name for name in header if name.split(".")[-1] == "accuracy"]
    assert metrics, "the first metric is shown however narrow the terminal is"


def test_what_is_the_same_everywhere_is_left_out_before_metrics_with_its_value(finished: Toy) -> None:
    shown = lines(finished, "runs", columns=80)
    hidden = next(line for line in shown if line.startswith("not shown: "))
    assert {"host", "seconds", "attempt"} & set(shown[0].split()) == set()
    assert "stage=train" in hidden
    assert {"seed", "fold"} <= set(shown[0].split())


def test_all_columns_are_shown_where_that_is_asked_for(finished: Toy) -> None:
    shown = lines(finished, "runs", "--wide", columns=60)
    assert {"job", "seconds", "host", "val.f1_macro"} <= set(shown[0].split())
    assert len(shown) == 7


@pytest.mark.parametrize(("ending", "bold"), [("tex", r"\mathbf{"), ("md", "**"), ("html", "<b>")])
def test_the_table_to_read_is_written_for_papers(finished: Toy, tmp_path: Path, ending: str, bold: str) -> None:
    file = tmp_path / f"table.{ending}"
    assert "wrote 4 rows" in finished.output_of("results", "toy", "--over", "fold", "--round", "2", "--out", str(file))
    text = file.read_text()
    markup = {"tex": "latex", "md": "markdown", "html": "html"}[ending]
    assert finished.output_of("results", "toy", "--over", "fold", "--round", "2", "--format", markup) == text
    assert bold not in text, "seeds are not compared"
    mean = pd.read_csv(io.StringIO(finished.output_of("results", "toy", "--over", "fold", "--format", "csv")))[
        "mean"
    ].iloc[0]
    assert f"{mean:.2f}" in text


def test_rounding_is_of_measured_numbers_in_every_format(finished: Toy) -> None:
    options = ("results", "toy", "runs", "--format", "csv")
    exact, rounded = (pd.read_csv(io.StringIO(finished.output_of(*options, *more))) for more in ((), ("--round", "1")))
    assert rounded["val.accuracy"].tolist() == exact["val.accuracy"].round(1).tolist()
    assert rounded["job"].tolist() == exact["job"].tolist()
    assert "0.7500" not in finished.output_of("results", "toy", "runs", "--round", "2")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--format", "latexx"), "did you mean 'latex'"),
        (("--out", "table.doc"), "table.doc: its ending names no format (csv, htm"),
        (("--round", "-1"), "--round"),
        (("--wide", "--format", "csv"), "--wide: use it only for the table on the terminal; csv has every column"),
    ],
)
def test_options_that_cannot_be_are_refused(finished: Toy, arguments: tuple[str, ...], says: str) -> None:
    ended = finished.run_in_process("results", "toy", *arguments)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr
    assert says in ended.stderr


def test_rows_are_sorted_by_a_metric_with_the_best_first(finished: Toy) -> None:
    header, *rows = lines(finished, "runs", "--sort", "val.accuracy", "--wide", columns=300)
    place = header.split().index("val.accuracy")
    values = [float(row.split()[place]) for row in rows]
    assert values == sorted(values, reverse=True)
    header, *rows = lines(finished, "runs", "--sort", "seed", "--wide", columns=300)
    assert [row.split()[header.split().index("seed")] for row in rows] == ["0"] * 3 + ["1"] * 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--sort", "accurcy"), "did you mean 'accuracy'"),
        (("--sort", "accuracy", "--format", "csv"), "--sort"),
        (("runs", "--split", "val"), "--split"),
        (("--split", "vall"), "splits: test, val"),
        (("--where", "seed=9"), "seed=9: no job has this value"),
    ],
)
def test_what_a_table_does_not_have_is_refused(finished: Toy, words: tuple[str, ...], says: str) -> None:
    ended = finished.run_in_process("results", "toy", *words)
    assert ended.returncode == 2
    assert says in ended.stderr
