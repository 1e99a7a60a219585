"""A root that was moved, or copied as it is: everything is found again, and nothing is concluded about a queue."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from toyproject import Toy

# What ended processes have printed or been handed, and what Python keeps beside a module and corrects as it reads it.
_PASSED_OVER = ("submitit", "worker.log", "__pycache__")


def moved(toy: Toy) -> Toy:
    """The project, with its root in another place."""
    root = toy.folder / "other place" / "studies"
    root.parent.mkdir()
    shutil.move(toy.root, root)
    return replace(toy, root=root, environment={**toy.environment, "SEEDFOLD_ROOT": str(root)})


def places_named(root: Path, text: str) -> list[str]:
    """Files below a root that hold a text, but for those that are passed over."""
    files = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    kept = (path for path in files if not set(_PASSED_OVER) & set(path.relative_to(root).parts))
    return [str(path.relative_to(root)) for path in kept if text.encode() in path.read_bytes()]


@pytest.mark.slow
def test_a_moved_root_goes_on(done: Toy) -> None:
    # The study was computed under another root, and copied to this one.
    toy = moved(done)
    results = toy.output_of("results", "toy", "runs", "--format", "csv")
    assert toy.states() == {"done": 6}
    assert len(results.splitlines()) == 7
    assert toy.output_of("report", "toy").strip() == f"{toy.root}/toy/outputs/report.html"
    assert "nothing to start" in toy.launch().stdout
    assert "nothing to start" in toy.output_of("resume", "toy")
    assert toy.launch("seed=0,1,2", "--where", "fold=0").returncode == 0
    assert toy.states() == {"done": 7, "waiting": 2}
    assert toy.output_of("logs", "seed=2", "fold=0") == "seed 2, attempt 1\n"
    toy.output_of("resume", "toy")
    assert toy.states() == {"done": 9}


def test_no_file_below_a_root_names_the_root(finished: Toy) -> None:
    assert list(finished.root.rglob("*.parquet"))
    assert places_named(finished.root, str(finished.root)) == []
