"""``seedfold export``: the weights of a job of any kind, and what is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from toyproject import Toy

import seedfold as sf
from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.ledger.fits import find_fit_folder
from seedfold.orchestrator.ledger.layout import Root

JOB = ("seed=1", "fold=2")


def keep_by_program(toy: Toy, **values: float) -> None:
    """Put checkpoints where a program keeps them, each with one weight."""
    folder = toy.study().job_folder(sf.study("toy", toy.root).job(seed=1, fold=2).id) / "run" / "checkpoints"
    folder.mkdir(parents=True)
    for role, value in values.items():
        torch.save({"model": {"weight": torch.tensor([value])}}, folder / f"{role}.pt")


def weight_in(file: Path) -> float:
    return float(torch.load(file, weights_only=True)["weight"])


def test_the_best_weights_or_else_the_last_are_written_with_the_configuration(done: Toy) -> None:
    keep_by_program(done, last=2.0)
    assert done.output_of("export", *JOB, "a.pt") == "last: a.pt, a.yaml\n"
    assert weight_in(done.folder / "a.pt") == 2.0
    written = yaml.safe_load((done.folder / "a.yaml").read_text())
    assert (written["axes"], written["config"]["signal"]) == ({"seed": 1, "fold": 2}, 2.0)
    job = sf.study("toy", done.root).job(seed=1, fold=2)
    torch.save({"weight": torch.tensor([1.0])}, job.checkpoint().with_name("best.pt"))
    assert done.output_of("export", *JOB, "b/b.pt") == "best: b/b.pt, b/b.yaml\n"
    assert weight_in(done.folder / "b" / "b.pt") == 1.0
    assert done.output_of("export", *JOB, "c.safetensors", "--checkpoint", "last") == "last: c.safetensors\n"
    assert load_file(done.folder / "c.safetensors")["weight"] == 2.0


def test_heads_with_best_epochs_of_their_own_get_a_file_each(done: Toy) -> None:
    job = sf.study("toy", done.root).job(seed=1, fold=2)
    folder = find_fit_folder(Root(done.root), done.study(), job.details.job.fit)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {"last": "last.ckpt", "best": "best-0.ckpt", "best/a": "best-0.ckpt", "best/b/c": "best-1.ckpt"}
    for number, name in enumerate(("best-0.ckpt", "best-1.ckpt", "last.ckpt")):
        torch.save({"weight": torch.tensor([float(number)])}, folder / name)
    (folder / "fit.json").write_text(json.dumps({"weights": weights}))
    (done.folder / "x-b_c.yaml").touch()
    with pytest.raises(UsageError, match=r"x-b_c\.yaml: exists already"):
        job.export(done.folder / "x.pt")
    assert not (done.folder / "x-a.pt").exists()
    files = job.export(done.folder / "y.pt")
    assert [file.name for file in files] == ["y-a.pt", "y-a.yaml", "y-b_c.pt", "y-b_c.yaml"]
    assert [weight_in(file) for file in files[::2]] == [0.0, 1.0]
    assert job.export(done.folder / "z.pt", "best/b/c") == [done.folder / "z.pt", done.folder / "z.yaml"]
    assert weight_in(job.export(done.folder / "last.pt", "last")[0]) == 2.0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*JOB, "taken.pt"), "taken.pt: exists already; name a new file"),
        ((*JOB, "conf"), "conf: is a folder; name a new file"),
        ((*JOB, "/dev/null"), "/dev/null: is a device; name a new file"),
        ((*JOB, "x.onnx"), "x.onnx: the ending of the file decides the format; it is one of .safetensors, .pt,"),
        ((*JOB, "taken.pt/x.pt"), "taken.pt/x.pt: cannot be written"),
        ((*JOB, "x.pt", "--checkpoint", "bst"), "has no checkpoint 'bst'; there are: last"),
        (("seed=0", "fold=0", "x.pt"), "has no checkpoints; the job has kept none, or checkpoint.keep or seedfold gc"),
        (("x.pt",), "JOB is missing"),
    ],
)
def test_what_cannot_be_exported_is_one_line(done: Toy, words: tuple[str, ...], message: str) -> None:
    keep_by_program(done, last=2.0)
    (done.folder / "taken.pt").write_text("mine")
    refused = done.run_in_process("export", *words)
    assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (2, "", 1), refused.stderr
    assert message in refused.stderr
    assert (done.folder / "taken.pt").read_text() == "mine"
    assert not (done.folder / "x.pt").exists()


def test_a_job_that_is_not_done_is_not_exported(toy: Toy) -> None:
    (toy.data / "broken-1").touch()
    toy.launch("fold=0", "seed=1", experiment="light")
    refused = toy.run_in_process("export", "seed=1", "x.pt")
    assert refused.returncode == 2
    assert "is failed; weights are exported when a job is done" in refused.stderr
