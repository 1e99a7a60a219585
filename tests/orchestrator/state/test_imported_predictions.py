"""Predictions made elsewhere become a job that is done, and that nobody runs."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from toyproject import Toy, read_files

from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state import imported_predictions
from seedfold.results.imports.predictions import PredictionFile
from seedfold.results.imports.rows import ReadOptions

SPLITS = ("dev_cal", "dev_test", "app_test")
TAKE_IN = ("--study", "away", "--set", "task=thorax")


def predictions(seed: int = 0, classes: int = 3, rows: int = 12) -> pd.DataFrame:
    """Rows of three splits, mixed; the logits are numbers that half precision has."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(3 * rows, classes)).astype(np.float16).astype(np.float32)
    frame = pd.DataFrame(logits, columns=[f"logit_{number}" for number in range(classes)])
    frame.insert(0, "sample_id", [f"{number:03d}" for number in draw.permutation(3 * rows)])
    frame.insert(1, "target", draw.integers(0, classes, 3 * rows))
    frame["split"] = draw.permutation(np.repeat(SPLITS, rows))
    return frame


def torch_list(frame: pd.DataFrame, prefix: str = "") -> list[dict[str, Any]]:
    logits = [name for name in frame.columns if name.startswith("logit_")]
    return [
        {
            "logits": torch.tensor(row[logits].to_numpy(dtype=np.float16)),
            "target": torch.tensor(row["target"]),
            "sample_id": prefix + row["sample_id"],
        }
        for _, row in frame.iterrows()
    ]


def held(toy: Toy, study: str = "away") -> Any:
    return json.loads(toy.output_of("results", study, "predictions", "--format", "json"))


def test_a_table_is_held_as_it_was_and_only_once(toy: Toy) -> None:
    frame = predictions()
    frame.to_csv(toy.folder / "thorax.csv", index=False)
    toy.output_of("import", "thorax.csv", *TAKE_IN, "--set", "seed=3")
    kept = pd.DataFrame(held(toy))
    assert (kept["task"].unique(), kept["seed"].unique()) == (["thorax"], [3])
    for split in SPLITS:
        given, found = (each[each["split"] == split] for each in (frame, kept))
        assert found["sample_id"].tolist() == given["sample_id"].tolist()
        assert found[["target", "logit_2"]].to_numpy().tolist() == given[["target", "logit_2"]].to_numpy().tolist()
    before = read_files(toy.root)
    assert "was imported before" in toy.output_of("import", "thorax.csv", *TAKE_IN, "--set", "seed=3")
    assert read_files(toy.root) == before
    shown = toy.json_of("show", "task=thorax")
    assert shown["result"]["provenance"]["files"][0]["file"] == str(toy.folder / "thorax.csv")
    assert "nothing to start" in toy.output_of("resume", "away")
    assert toy.run_in_process("run", "task=thorax").returncode == 2


def test_what_a_job_is_does_not_depend_on_the_files_it_came_in(toy: Toy) -> None:
    frame = predictions()
    frame.to_csv(toy.folder / "all.csv", index=False)
    frame.to_parquet(toy.folder / "all.parquet")
    for split in SPLITS:
        torch.save(torch_list(frame[frame["split"] == split]), toy.folder / f"{split}.pt")
    for number, files in enumerate((["all.csv"], ["all.parquet"], [f"{split}={split}.pt" for split in SPLITS])):
        toy.output_of("import", *files, "--study", f"away{number}", "--set", "task=thorax")
    jobs = [{row["job"] for row in held(toy, f"away{number}")} for number in range(3)]
    assert len(jobs[0]) == 1
    assert jobs[0] == jobs[1] == jobs[2]


def test_published_lists_tell_their_splits_by_the_ids(toy: Toy) -> None:
    frame = predictions()
    by_split = {split: frame[frame["split"] == split] for split in SPLITS}
    torch.save(torch_list(by_split["dev_cal"]), toy.folder / "val.pt")
    tests = [row for split in SPLITS[1:] for row in torch_list(by_split[split], f"{split}_")]
    torch.save(tests, toy.folder / "test.pt")
    toy.output_of("import", "dev_cal=val.pt", "test.pt", *TAKE_IN)
    counts = pd.DataFrame(held(toy))["split"].value_counts().to_dict()
    assert counts == dict.fromkeys(SPLITS, 12)


def test_probabilities_and_names_of_classes_are_taken_in_as_logits_and_numbers(toy: Toy) -> None:
    frame = predictions(classes=2)
    logits = frame[["logit_0", "logit_1"]].to_numpy(dtype=np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    shares[0] = [1.0, 0.0]
    named = frame.drop(columns=["logit_0", "logit_1"]).assign(target=frame["target"].map({0: "normal", 1: "fracture"}))
    named.assign(prob_1=shares[:, 1], prob_0=shares[:, 0]).to_csv(toy.folder / "both.csv", index=False)
    named.assign(probability_1=shares[:, 1]).to_parquet(toy.folder / "one.parquet")
    for study, file in {"both": "both.csv", "one": "one.parquet"}.items():
        toy.output_of("import", file, "--study", study, "--classes", "normal,fracture")
        kept = pd.DataFrame(held(toy, study)).set_index("sample_id").loc[frame["sample_id"]]
        assert kept["target"].tolist() == frame["target"].tolist()
        first = kept["logit_1"] - kept["logit_0"] if study == "both" else kept["logit_0"]
        found = 1 / (1 + np.exp(-first.to_numpy(dtype=np.float64)))
        np.testing.assert_allclose(found, shares[:, 1], atol=1e-6)


@pytest.mark.parametrize("has_column", [True, False])
def test_a_split_without_labels_is_taken_in_where_that_is_said(toy: Toy, has_column: bool) -> None:
    frame = predictions()
    deployed = frame[frame["split"] == "app_test"]
    unlabelled = deployed.assign(target=None) if has_column else deployed.drop(columns="target")
    unlabelled.to_csv(toy.folder / "clinic.csv", index=False)
    frame[frame["split"] != "app_test"].to_csv(toy.folder / "known.csv", index=False)
    said = toy.output_of("import", "known.csv", "clinic.csv", *TAKE_IN, "--unlabelled")
    assert "samples: dev_test 12, dev_cal 12, app_test 12; without labels: app_test" in said.replace(
        "dev_cal 12, dev_test 12", "dev_test 12, dev_cal 12"
    )
    kept = pd.DataFrame(held(toy))
    assert kept.loc[kept["split"] == "app_test", "target"].isna().all()
    known = frame[frame["split"] == "dev_test"]["target"].tolist()
    assert kept.loc[kept["split"] == "dev_test", "target"].tolist() == known
    metrics = pd.DataFrame(json.loads(toy.output_of("results", "away", "metrics", "--format", "json")))
    assert set(metrics["split"]) == {"dev_cal", "dev_test"}


def test_torch_lists_may_lack_targets_or_name_classes(toy: Toy) -> None:
    rows = torch_list(predictions())
    names = ("a", "b", "c")
    torch.save([row | {"target": names[int(row["target"])]} for row in rows], toy.folder / "named.pt")
    torch.save([{key: row[key] for key in ("logits", "sample_id")} for row in rows], toy.folder / "bare.pt")
    toy.output_of("import", "app_test=named.pt", "--study", "named", "--classes", "a,b,c")
    assert [row["target"] for row in held(toy, "named")] == [int(row["target"]) for row in rows]
    toy.output_of("import", "app_test=bare.pt", "--study", "bare", "--unlabelled")
    assert {row["target"] for row in held(toy, "bare")} == {None}
    refused = toy.run_in_process("import", "app_test=bare.pt", "--study", "other")
    assert (refused.returncode, "column target: missing" in refused.stderr) == (2, True)


def test_other_predictions_take_a_place_only_when_told(toy: Toy) -> None:
    predictions(0).to_csv(toy.folder / "old.csv", index=False)
    predictions(1).to_csv(toy.folder / "new.csv", index=False)
    toy.output_of("import", "old.csv", *TAKE_IN)
    before = read_files(toy.root)
    refused = toy.run_in_process("import", "new.csv", *TAKE_IN)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "--replace" in refused.stderr
    assert read_files(toy.root) == before
    toy.output_of("import", "new.csv", *TAKE_IN, "--replace")
    assert pd.DataFrame(held(toy))["target"].tolist() == _in_order_of_splits(predictions(1))["target"].tolist()
    assert "superseded: 2," in toy.output_of("gc", "away", "--superseded", "--yes")
    assert toy.states("away") == {"done": 1}


def _in_order_of_splits(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame[frame["split"] == split] for split in sorted(SPLITS)])


@pytest.mark.slow
def test_lost_predictions_are_imported_again_and_never_run(toy: Toy) -> None:
    predictions().to_csv(toy.folder / "thorax.csv", index=False)
    assert toy.launch("--wait", "study=away", experiment="light").returncode == 0
    # In a process of its own: as long as a process lives that began an attempt, nobody begins another.
    assert toy.run("import", "thorax.csv", *TAKE_IN).returncode == 0
    for file in toy.study("away").path.glob("store/*/*/predictions.dev_cal.parquet"):
        file.unlink()
    assert toy.states("away") == {"done": 6, "lost": 1}
    assert "task=thorax is lost (predictions.dev_cal.parquet: missing): run seedfold import" in toy.output_of(
        "status", "away"
    )
    assert "nothing to start" in toy.output_of("resume", "away", "--wait")
    assert "nothing to start" in toy.launch("--wait", "study=away", experiment="light").stdout
    assert toy.states("away") == {"done": 6, "lost": 1}
    toy.output_of("import", "thorax.csv", *TAKE_IN)
    assert toy.states("away") == {"done": 7}
    assert set(toy.executions().values()) == {1}


@pytest.mark.slow
def test_a_kill_before_any_write_leaves_all_or_nothing(tmp_path: Path) -> None:
    predictions().to_csv(tmp_path / "thorax.csv", index=False)
    root, kills = Root(tmp_path / "runs"), 0

    def take_in() -> None:
        source = PredictionFile(tmp_path / "thorax.csv")
        imported_predictions.import_predictions(root, "away", [source], {"task": "t"}, ReadOptions(), False)

    while _killed_before_write(kills, take_in):
        kills += 1
    assert kills > 10
    done = [folder for folder in root.study_folders() if folder.name == "away"]
    assert len(done) == 1
    # What the killed ones left is found, and what they published is not written again.
    published = list(done[0].path.glob("store/*/*/result.json"))
    assert len(published) == 1


def _killed_before_write(number: int, function: Callable[[], None]) -> bool:
    """Run a function in a process of its own that is killed before its write of that number; tell whether it was."""
    child = os.fork()
    if child == 0:
        with pytest.MonkeyPatch.context() as patch:
            _kill_before(number, patch)
            function()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def _kill_before(number: int, patch: pytest.MonkeyPatch) -> None:
    left = iter(range(number))
    for name in ("mkdir", "rename", "replace", "link", "fsync"):
        patch.setattr(os, name, _deadly(getattr(os, name), left))


def _deadly(function: Callable[..., Any], left: Any) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **options)

    return call


@dataclass(frozen=True)
class Bad:
    """Lines of ``bad.csv``, and the words that the answer has to have; ``files`` are given in place of it."""

    name: str
    lines: str
    says: tuple[str, ...]
    files: tuple[str, ...] = ("bad.csv",)
    options: tuple[str, ...] = TAKE_IN


HEADER = "sample_id,target,logit_0,logit_1,split\n"
GOOD = HEADER + "a,0,1.5,2,dev_cal\nb,1,0,1,dev_cal\n"
NAMED = HEADER + "a,cat,1.5,2,dev_cal\nb,dog,0,1,dev_cal\n"
NAMES = (*TAKE_IN, "--classes", "cat,dog")
PROBABLE = "sample_id,target,prob_0,prob_1,split\na,0,0.8,0.2,dev_cal\nb,1,0.4,0.6,dev_cal\n"
BAD = [
    Bad("no such file", "", ("none.csv", "no such file"), ("none.csv",)),
    Bad("no rows", HEADER, ("bad.csv", "no rows")),
    Bad("nothing at all", "", ("bad.csv", "CSV")),
    Bad("semicolons", GOOD.replace(",", ";"), ("sample_id;target", "commas")),
    Bad("no ids", GOOD.replace("sample_id", "sampleid"), ("column sample_id", "missing", "'sampleid'")),
    Bad("no target", GOOD.replace("target", "label"), ("column target", "missing", "--unlabelled")),
    Bad("no logits", "sample_id,target,split\na,0,dev_cal\n", ("column logit_0", "missing")),
    Bad("a logit is missing", GOOD.replace("logit_1", "logit_2"), ("column logit_1", "missing")),
    Bad("a misspelt logit", GOOD.replace("logit_1", "logits_1"), ("column logits_1", "logit_0")),
    Bad("the same column twice", GOOD.replace("logit_1", "logit_0"), ("logit_",)),
    Bad("nobody knows which split", GOOD.replace("split", "part"), ("bad.csv", "SPLIT=bad.csv")),
    Bad("no such column of splits", GOOD, ("column part", "missing"), options=(*TAKE_IN, "--split-column", "part")),
    Bad("a split with a slash", GOOD + "c,0,1,1,dev/cal\n", ("row 3", "dev/cal")),
    Bad("another split than said", GOOD, ("row 1", "split", "dev_cal", "app_test"), ("app_test=bad.csv",)),
    Bad("no split in a row", GOOD + "c,0,1,1,\n", ("row 3, column split", "empty")),
    Bad("a word for a number", GOOD + "c,0,1,much,dev_cal\n", ("row 3, column logit_1", "'much' is not a number")),
    Bad("no number", GOOD + "c,0,,1,dev_cal\n", ("row 3, column logit_0", "empty")),
    Bad("not a number", GOOD + "c,0,nan,1,dev_cal\n", ("row 3, column logit_0", "nan is not a finite number")),
    Bad("infinite", GOOD + "c,0,-inf,1,dev_cal\n", ("row 3, column logit_0", "-inf")),
    Bad("infinite in single precision", GOOD + "c,0,1e39,1,dev_cal\n", ("row 3, column logit_0", "1e+39")),
    Bad("a class that is not there", GOOD + "c,2,1,1,dev_cal\n", ("row 3, column target", "2", "0 to 1")),
    Bad("a class below zero", GOOD + "c,-1,1,1,dev_cal\n", ("row 3, column target", "-1")),
    Bad("half a class", GOOD + "c,0.5,1,1,dev_cal\n", ("row 3, column target", "0.5 is not a class number")),
    Bad("no class", GOOD + "c,,1,1,dev_cal\n", ("row 3, column target", "empty", "--unlabelled")),
    Bad("a word for a class", GOOD + "c,cat,1,1,dev_cal\n", ("row 3, column target", "'cat'", "--classes NAME,NAME")),
    Bad("another class", NAMED + "c,cow,1,1,dev_cal\n", ("row 3, column target", "'cow'", "cat, dog"), options=NAMES),
    Bad("too many classes", NAMED, ("2 classes", "--classes names 3"), options=(*TAKE_IN, "--classes", "cat,dog,cow")),
    Bad("a class twice", NAMED, ("--classes cat,cat", "each once"), options=(*TAKE_IN, "--classes", "cat,cat")),
    Bad("no class of one that has names", NAMED + "c,,1,1,dev_cal\n", ("row 3, column target",), options=NAMES),
    Bad("part of a split has no class", GOOD + "c,,1,1,dev_cal\n", ("1 of 3 samples of split dev_cal", "'c'"),
        options=(*TAKE_IN, "--unlabelled")),
    Bad("half a class, unlabelled", GOOD + "c,-1,1,1,dev_cal\n", ("row 3, column target", "-1"),
        options=(*TAKE_IN, "--unlabelled")),
    Bad("no probability", PROBABLE + "c,0,1.5,-0.5,dev_cal\n", ("row 3, column prob_0", "1.5 is not a probability")),
    Bad("not a number of probability", PROBABLE + "c,0,nan,1,dev_cal\n", ("row 3, column prob_0", "nan is not a prob")),
    Bad("probabilities of something else", PROBABLE + "c,0,0.5,0.2,dev_cal\n", ("row 3", "sum to 0.7, not to 1")),
    Bad("logits and probabilities", PROBABLE.replace("prob_0", "logit_0"), ("column prob_1", "remove either")),
    Bad("a probability is missing", PROBABLE.replace("prob_1", "prob_2"), ("column prob_1", "missing")),
    Bad("the same probability twice", PROBABLE.replace("prob_1", "proba_0"), ("column proba_0", "as prob_0")),
    Bad("a probability of nobody knows what", "sample_id,target,prob_0\na,0,0.5\n", ("prob_0", "class 1", "prob_1"),
        ("dev_cal=bad.csv",)),
    Bad("a misspelt probability", PROBABLE.replace("prob_", "prob"), ("column prob0", "prob_0, prob_1")),
    Bad("no id", GOOD + ",1,1,1,dev_cal\n", ("row 3, column sample_id", "empty")),
    Bad("the same sample twice", GOOD + "a,1,1,1,dev_cal\n", ("row 3, column sample_id", "'a'", "row 1")),
    Bad("a row with too few columns", GOOD + "c,1,1\n", ("bad.csv", "CSV", "Expected 5 columns, got 3")),
    Bad("the same sample in two files", GOOD, ("bad.csv", "'a'", "more than once"), ("bad.csv", "bad.csv")),
    Bad("no study", GOOD, ("--study",), options=()),
    Bad("an axis that tables have", GOOD, ("split",), options=(*TAKE_IN, "--set", "split=1")),
    Bad("an axis with two values", GOOD, ("seed=1,2",), options=(*TAKE_IN, "--set", "seed=1,2")),
    Bad("an axis twice", GOOD, ("task=b",), options=(*TAKE_IN, "--set", "task=b")),
    Bad("an axis without a value", GOOD, ("seed", "KEY=VALUE"), options=(*TAKE_IN, "--set", "seed")),
    Bad("a study with a slash", GOOD, ("a/b",), options=("--study", "a/b")),
    Bad("code in place of data", "", ("evil.pt", "cannot be read"), ("dev_cal=evil.pt",)),
    Bad("a list of something else", "", ("row 1, column target", "missing"), ("dev_cal=other.pt",)),
    Bad("an empty list", "", ("empty.pt", "no rows"), ("dev_cal=empty.pt",)),
    Bad("rows of several widths", "", ("row 2, column logits", "(3,)", "(2,)"), ("dev_cal=ragged.pt",)),
]  # fmt: skip


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_bad_input_is_one_line_and_writes_nothing(bad: Bad, toy: Toy) -> None:
    (toy.folder / "bad.csv").write_text(bad.lines)
    torch.save(_Code(), toy.folder / "evil.pt")
    torch.save([{"logits": torch.zeros(2), "sample_id": "a"}], toy.folder / "other.pt")
    rows = [{"logits": torch.zeros(width), "target": 0, "sample_id": str(width)} for width in (2, 3)]
    torch.save(rows, toy.folder / "ragged.pt")
    torch.save([], toy.folder / "empty.pt")
    before = read_files(toy.folder)
    ended = toy.run_in_process("import", *bad.files, *bad.options)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr
    assert [words for words in bad.says if words not in ended.stderr] == [], ended.stderr
    assert read_files(toy.folder) == before
    assert not (toy.folder / "executed").exists()


def test_predictions_of_two_versions_of_the_code_are_kept_apart(toy: Toy) -> None:
    model, codes = toy.folder / "model.py", ("seed", "code")
    model.write_text("WIDTH = 8\n")
    for seed in (0, 1, 2):
        if seed == 1:
            model.write_text("WIDTH = 8  # of the hidden layer\n")
        if seed == 2:
            model.write_text("WIDTH = 16\n")
        predictions(seed).to_csv(toy.folder / f"{seed}.csv", index=False)
        toy.output_of("import", f"{seed}.csv", *TAKE_IN, "--set", f"seed={seed}", "--code", "model.py")
    rows = pd.DataFrame(json.loads(toy.output_of("results", "away", "runs", "--format", "json")))
    assert rows[[*codes]].to_numpy().tolist() == [[0, "old"], [1, "old"], [2, "now"]]
    told = toy.output_of("results", "away")
    assert "2 of 3 done jobs were computed by other code (model.py): import the predictions of today's code" in told
    toy.output_of("resume", "away", "--accept-code")
    assert "code" not in pd.DataFrame(json.loads(toy.output_of("results", "away", "runs", "--format", "json")))
    refused = toy.run_in_process("import", "0.csv", *TAKE_IN, "--code", "modle.py")
    assert (refused.returncode, "--code" in refused.stderr) == (2, True)
