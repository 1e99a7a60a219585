"""Roots that earlier versions wrote, kept in ``tests/roots``, and what is said of their studies.

``VERSION.tar.gz`` holds a project with its root in ``runs``, ``VERSION.json`` what that version said: ``folder``, where
the project lay, and under ``studies`` what each was launched with and what `described` returned. ``roots/make.py``
makes both.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from toyproject import Toy

import seedfold as sf

ROOTS = Path(__file__).with_name("roots")
RUNS = "runs"


def read_record(version: str) -> Any:
    """What a version said of the root that it wrote."""
    return json.loads((ROOTS / f"{version}.json").read_text())


def make_project(folder: Path) -> Toy:
    """The commands in a project, with its root in ``runs``, and nothing of this machine's user around them."""
    for name in ("home", "tmp"):
        (folder.parent / name).mkdir(parents=True, exist_ok=True)
    variables = {"SEEDFOLD_ROOT": str(folder / RUNS), "LOGNAME": "ada", "COLUMNS": "100"}
    variables |= {"HOME": str(folder.parent / "home"), "TMPDIR": str(folder.parent / "tmp")}
    return Toy(folder, folder / RUNS, {**os.environ, **variables})


def unpack(version: str, folder: Path) -> Toy:
    """Unpack a project into ``folder``, which is then as one that was copied to another machine."""
    with tarfile.open(ROOTS / f"{version}.tar.gz") as archive:
        # Python has the filter from 3.11.4 on.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(folder)
    return make_project(folder / "project")


def use_todays_folder(toy: Toy, version: str) -> None:
    """Have plans name the folder where the project lies now, as if it had been launched there.

    Reading needs no such thing. A plan says in which folder it was made and where data was, since jobs that wait are to
    find their code and data there; who copies a project to another machine says it anew with a launch.
    """
    before = read_record(version)["folder"]
    for plan in toy.root.glob("*/plans/*.jsonl"):
        plan.write_text(plan.read_text().replace(before, str(toy.folder)))


def unpack_to_go_on(version: str, folder: Path) -> Iterator[Toy]:
    """Yield a project whose studies go on where it lies now; whatever works for it afterwards is ended."""
    toy = unpack(version, folder)
    use_todays_folder(toy, version)
    yield toy
    toy.kill_workers()


def describe_study(toy: Toy, study: str, arguments: Sequence[str]) -> dict[str, Any]:
    """What is said of a study: each job and its numbers, the predictions of all, and the ids that a plan has.

    ``asked`` is what it was launched with; nothing for a study that the command does not launch.
    """
    jobs = [
        _describe_job(toy.json_of("show", job, "--study", study))
        for job in dict.fromkeys(sf.study(study, toy.root).status()["job"])
    ]
    return {
        "jobs": jobs,
        "predictions": _describe_predictions(toy, study),
        "planned": _planned_ids(toy, arguments) if arguments else None,
    }


def _describe_job(details: Any) -> dict[str, Any]:
    values = {key: details[key] for key in ("id", "fit", "stage", "axes", "parents", "state", "stale")}
    metrics = details["result"]["metrics"] if details["result"] else []
    return {**values, "attempts": [attempt["state"] for attempt in details["attempts"]], "metrics": metrics}


def _planned_ids(toy: Toy, arguments: Sequence[str]) -> list[str]:
    lines = toy.output_of("plan", *arguments, "--jobs", "-").splitlines()
    return [json.loads(line)["id"] for line in lines]


def _describe_predictions(toy: Toy, study: str) -> dict[str, Any]:
    """How many rows there are, and a digest of all numbers in them."""
    listed = toy.run_in_process("results", study, "predictions", "--format", "json")
    rows = json.loads(listed.stdout) if listed.returncode == 0 else []
    values = [[row["job"], row["split"], row["sample_id"], row["target"], *_logits_of(row)] for row in rows]
    text = "\n".join(json.dumps(row) for row in sorted(values, key=str))
    return {"rows": len(values), "digest": hashlib.sha256(text.encode()).hexdigest()}


def _logits_of(row: dict[str, Any]) -> list[float | None]:
    return [value for name, value in sorted(row.items()) if name.startswith("logit_")]
