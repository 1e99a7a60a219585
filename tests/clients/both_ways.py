"""A program swept twice, by Hydra's own sweeper and launcher and by Seedfold's, and what its jobs saw."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from command_server import forked_python
from hydra_program import SEEDFOLD_PLUGINS, HydraProgram, make_environment

PROGRAMS = Path(__file__).parent / "programs"


def copy_program(name: str, folder: Path, *command: str, trains: bool = False) -> HydraProgram:
    """Copy one of the programs here into ``folder``, with what lets it write down what a job sees.

    ``command`` is what Python is started with.
    """
    shutil.copytree(PROGRAMS / name, folder)
    shutil.copy(PROGRAMS / "seen.py", folder)
    return HydraProgram(folder, make_environment(folder), command or ("app.py",), trains)


@dataclass(frozen=True)
class BothWays:
    """The jobs of one sweep, as Hydra's launcher ran them and as Seedfold's did, in the order of their numbers."""

    theirs: list[dict[str, Any]]
    ours: list[dict[str, Any]]
    returned: list[Any]
    """What Seedfold has as the values that the jobs returned."""


def sweep_both_ways(name: str, folder: Path, *words: str) -> BothWays:
    """Sweep a program both ways, at the same time."""
    programs = [copy_program(name, folder / who) for who in ("theirs", "ours")]
    python = forked_python()
    ours = (*SEEDFOLD_PLUGINS, *words)
    started = [programs[0].start("-m", *words, python=python), programs[1].start("-m", *ours, python=python)]
    for process in started:
        said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    jobs = [list(_jobs_of(program)) for program in programs]
    return BothWays(jobs[0], jobs[1], programs[1].returned_values("app"))


def _jobs_of(program: HydraProgram) -> Iterator[dict[str, Any]]:
    found = [file.parent for file in program.folder.glob("out/**/seen.json")]
    jobs = [_job_in(folder, program.folder) for folder in found]
    yield from sorted(jobs, key=lambda job: int(job["number"]))


def _job_in(folder: Path, base: Path) -> dict[str, Any]:
    seen: dict[str, Any] = json.loads((folder / "seen.json").read_text().replace(str(base), "HERE"))
    files = {file: (folder / ".hydra" / file).read_text() for file in ("config.yaml", "overrides.yaml")}
    return {**seen, **files}
