"""How many files, processes and imports a job costs: a study has thousands of jobs, and clusters count their files."""

from __future__ import annotations

import json
from collections import Counter

from toyproject import Toy

SEEN = '''
import json
import os
import sys
from pathlib import Path


def above(pid):
    """The process that started a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def run(work):
    """Write which processes this one and those above it are, and what it has imported."""
    template = above(os.getpid())
    processes = [Path("/proc", str(pid)) for pid in (os.getpid(), template, above(template))]
    seen = {
        "names": [(process / "comm").read_text().strip() for process in processes],
        "commands": [(process / "cmdline").read_text() for process in processes],
        "modules": sorted(sys.modules),
        "files": [os.readlink(f"/proc/{template}/fd/{number}") for number in os.listdir(f"/proc/{template}/fd")],
        "main": sys.modules["__main__"].__name__,
        "arguments": sys.argv,
    }
    (work.staging / "seen.json").write_text(json.dumps(seen))
'''
QUIET = """# @package _global_
study: quiet
run: toy.seen.run
matrix:
  seed: range(0,3)
"""


MOST_OWN_MODULES = 130
SLOW_MODULES = {"subprocess", "socket", "tempfile", "zipfile", "pickle", "numpy", "yaml"}
"""What a worker and a small job do without."""


def test_a_job_leaves_a_claim_and_a_result_beside_its_own_files(toy: Toy) -> None:
    (toy.folder / "toy" / "seen.py").write_text(SEEN)
    toy.write_experiment("quiet", QUIET)
    assert toy.launch(experiment="quiet").returncode == 0
    toy.wait_for_workers()
    study = toy.study("quiet").path
    files = [file.relative_to(study) for file in study.rglob("*") if file.is_file()]
    by_folder = Counter(file.parts[0] for file in files)
    assert (by_folder["claims"], by_folder["store"], by_folder["jobs"]) == (3, 6, 0)
    assert (by_folder["events"], by_folder["plans"]) == (1, 1)
    # A job that has printed nothing has an empty log.
    assert toy.output_of("logs", "--study", "quiet", "seed=1") == ""
    assert toy.json_of("show", "--study", "quiet", "seed=1")["attempts"][0]["log"] is None
    [worker_log] = study.glob("submissions/*/worker.log")
    seen = json.loads(next((study / "store").rglob("seen.json")).read_text())
    # One Python is started for all of them, and the others are forked from it.
    assert seen["names"][:2] == ["sf-job", "sf-template"]
    assert len(set(seen["commands"])) == 1
    assert not SLOW_MODULES & set(seen["modules"])
    assert len([name for name in seen["modules"] if name.startswith("seedfold.")]) <= MOST_OWN_MODULES
    # No file and no lock of the worker: a null device, a log for what is printed, and pipes.
    assert {name.partition(":")[0] for name in seen["files"]} <= {"/dev/null", "pipe", "anon_inode", str(worker_log)}
    # What a job starts anew gets no argument of ours.
    assert (seen["main"], len(seen["arguments"])) == ("seedfold.orchestrator.worker.template", 1)
