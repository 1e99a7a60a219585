"""Runs jobs whole, and again and again in forked children, killing each after a random while; see `mortal`.

Arguments: a folder, with ``cases.json``: for each name the configuration, the fewest and the most kills, the seed, the
longest life of a child as a share of the time that an undisturbed one takes, and the number of processes that train
together. NAME/whole and NAME/killed hold what both published.

Without a folder, cases are read from standard input, a line of JSON each: the ``folder`` of the case, its ``config``,
the ``ranks``, and ``kills``, after or before which step of training each attempt dies. The answer to each is a line of
JSON: in what the two runs differ.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from mortal import kill_repeatedly, measure_seconds, run_in_child

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.jobs.work import Work
from seedfold.trainers.stages import fit_predict


def main(folder: str) -> None:
    for module in fit_predict.PRELOAD:
        import_module(module)
    threads = len(list(Path("/proc/self/task").iterdir()))
    cases = json.loads((Path(folder) / "cases.json").read_text())
    for name, case in cases.items():
        _kill_and_compare(Path(folder) / name, **case)
    (Path(folder) / "record.json").write_text(json.dumps({"threads": threads}))


def serve() -> None:
    """Try case after case from standard input."""
    for module in fit_predict.PRELOAD:
        import_module(module)
    for line in sys.stdin:
        try:
            answer = _kill_at_steps(**json.loads(line))
        except AssertionError as error:
            answer = [f"{error}: see its log"]
        print(json.dumps(answer), flush=True)


def _kill_at_steps(folder: str, config: dict[str, Any], kills: list[tuple[int, bool]], ranks: int) -> list[str]:
    fit_predict.device_count = lambda *_: ranks
    root = Path(folder)
    assert run_in_child(partial(_run_job, root, config, "whole"), None)
    for step, is_before in kills:
        run_in_child(partial(_die_at_step, root, config, step, is_before), None)
    assert run_in_child(partial(_run_job, root, config, "killed"), None)
    names = sorted(path.name for of_run in ("whole", "killed") for path in (root / of_run).iterdir())
    differences = [name for name in dict.fromkeys(names) if not _is_same_file(root, name)]
    # Whether tensors are equal is computed in a child, because this process must not start threads.
    return differences if run_in_child(partial(_die_if_weights_differ, root), None) else [*differences, "weights"]


def _run_job(root: Path, config: dict[str, Any], name: str) -> None:
    shutil.rmtree(root / name, ignore_errors=True)
    (root / name).mkdir(parents=True)
    job = JobDescription("a" * 64, "study", "train", {}, config, (), Resources(), "run", "f" * 64)
    with (root / f"{name}.log").open("a") as log, redirect_stdout(log), redirect_stderr(log):
        fit_predict.run(Work(job, 1, root / f"fit_{name}", root / name))


def _die_at_step(root: Path, config: dict[str, Any], step: int, is_before: bool) -> None:
    """Run the job, and kill this process at a step of its training: before a checkpoint could be written, or after."""
    from seedfold.trainers.learning.training_state import Checkpointer

    after_step, steps = Checkpointer._after_step, count(1)

    def mortal_after_step(self: Checkpointer) -> None:
        is_last = next(steps) == step
        if not is_last or not is_before:
            after_step(self)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)

    Checkpointer._after_step = mortal_after_step  # type: ignore[method-assign]
    _run_job(root, config, "killed")


def _is_same_file(root: Path, name: str) -> bool:
    files = [root / folder / name for folder in ("whole", "killed")]
    return all(file.exists() for file in files) and files[0].read_bytes() == files[1].read_bytes()


def _die_if_weights_differ(root: Path) -> None:
    """Kill this process if the weights in any checkpoint differ."""
    import torch

    for file in sorted((root / "fit_whole").glob("*.ckpt")):
        if file.name == "previous.ckpt":  # It is of another step after a kill.
            continue
        states = (torch.load(root / folder / file.name, weights_only=True) for folder in ("fit_whole", "fit_killed"))
        if not _is_equal(*(state.get("state_dict", state) for state in states)):
            os.kill(os.getpid(), signal.SIGKILL)


def _is_equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    import torch

    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _kill_and_compare(
    root: Path, config: dict[str, Any], fewest: int, most: int, longest: float, seed: int, ranks: int
) -> None:
    fit_predict.device_count = lambda *_: ranks
    job = JobDescription("a" * 64, "study", "train", {}, config, (), Resources(), "run", "f" * 64)

    def work(name: str) -> None:
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir(parents=True)
        fit_predict.run(Work(job, 1, root / f"fit_{name}", root / name))

    def forget() -> None:
        shutil.rmtree(root / "fit_killed", ignore_errors=True)

    seconds = longest * measure_seconds(partial(work, "whole"))
    kill_repeatedly(
        partial(work, "killed"),
        forget,
        min_kills=fewest,
        max_kills=most,
        max_seconds=seconds,
        generator=random.Random(seed),
    )


if __name__ == "__main__":
    main(*sys.argv[1:]) if sys.argv[1:] else serve()
