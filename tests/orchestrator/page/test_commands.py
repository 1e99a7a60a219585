"""Command lines that the page offers: they meet the jobs that are shown, and no others."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import Any, cast

from seedfold.orchestrator.page.commands import failure_command, selection_commands
from seedfold.orchestrator.page.kept_studies import KeptStudy
from seedfold.orchestrator.state.overview import JobView

STUDY = cast("KeptStudy", SimpleNamespace(name="sweep", root=SimpleNamespace(path="runs")))


def view(state: str = "done", stage: str = "train", **axes: Any) -> JobView:
    identity = f"{abs(hash((stage, tuple(axes.items())))):x}".ljust(64, "0")
    event = {"kind": "error"} if state == "failed" else None
    states = {"state": state, "job_state": SimpleNamespace(event=event)}
    return cast(
        "JobView", SimpleNamespace(id=identity, stage=stage, axes=axes, job=SimpleNamespace(run="toy"), **states)
    )


def sweep() -> list[JobView]:
    """12 jobs: those of the learning rate 1 failed, and some of the others were cancelled."""
    states = {1.0: "failed", 0.1: "cancelled"}
    return [
        view(states.get(lr, "done"), lr=lr, width=width, seed=seed)
        for lr, width, seed in product((0.01, 0.1, 1.0), (16, 64), (0, 1))
    ]


def lines(shown: list[JobView], selected: list[JobView], where: tuple[str, ...] = ()) -> dict[str, str]:
    answer = selection_commands(STUDY, where, (), selected, shown)
    return {each["command"].split()[1]: each["command"] for each in answer["commands"]}


def test_jobs_that_no_settings_tell_apart_are_named_by_their_ids() -> None:
    jobs = sweep()
    diagonal = [jobs[0], jobs[3]]
    command = failure_command(STUDY, "error", diagonal, jobs)
    assert command is not None
    assert f"--where job={diagonal[0].id[:12]},{diagonal[1].id[:12]} " in command
    many = [view("failed", seed=seed, other=seed % 2) for seed in range(60)]
    assert failure_command(STUDY, "error", many[:40], many) is None


def test_commands_meet_only_the_jobs_that_are_shown() -> None:
    jobs = sweep()
    cancelled = [each for each in jobs if each.state == "cancelled"]
    shown = lines(cancelled, jobs)
    assert shown == {"resume": "seedfold resume sweep --where lr=0.1 --root runs"}
    failed = [each for each in jobs if each.state == "failed"]
    assert lines(failed, jobs)["resume"] == "seedfold resume sweep --kind error --root runs"
    assert "cancel" not in lines(jobs, jobs), "what has failed or is cancelled has ended"
    waiting = [view("waiting", lr=0.1, width=32, seed=0), *(each for each in jobs if each.state == "cancelled")]
    assert lines(waiting[:1], waiting)["resume"] == "seedfold resume sweep --keep-cancelled --root runs"
    every = lines(jobs, jobs)
    assert every["resume"] == "seedfold resume sweep --keep-cancelled --root runs"
    assert "rerun" not in every
    assert every["status"] == "seedfold status sweep --root runs"
    wide = [each for each in jobs if each.axes["width"] == 64]
    assert lines(wide, wide, ("width=64",))["rerun"] == "seedfold rerun sweep --where width=64 --root runs"


def test_what_no_condition_selects_is_told() -> None:
    jobs = [view("cancelled" if seed % 7 else "failed", seed=seed) for seed in range(100)]
    answer = selection_commands(STUDY, (), (), jobs, [each for each in jobs if each.state == "cancelled"])
    assert answer["commands"] == []
    assert "No condition" in answer["note"]


def test_failures_of_one_kind_are_started_again_without_what_was_cancelled() -> None:
    failed = [each for each in sweep() if each.state == "failed"]
    assert failure_command(STUDY, "error", failed, failed) == "seedfold resume sweep --kind error --root runs"


def test_what_is_cancelled_is_told_and_may_be_left_so() -> None:
    jobs = [*sweep(), view("waiting", lr=0.2, width=16, seed=0)]
    answer = {each["does"]: each["command"] for each in selection_commands(STUDY, (), (), jobs, jobs)["commands"]}
    assert answer["start the 9 that are not done, 4 of them cancelled"] == "seedfold resume sweep --root runs"
    kept = answer["start those of them that are not cancelled (5)"]
    assert kept == "seedfold resume sweep --keep-cancelled --root runs"
    assert answer["cancel the one that has not ended"] == "seedfold cancel sweep --root runs"
    wide = [each for each in jobs if each.axes["width"] == 64]
    answer = {each["does"]: each["command"] for each in selection_commands(STUDY, (), (), jobs, wide)["commands"]}
    kept = answer["start those of them that are not cancelled (2)"]
    assert kept == "seedfold resume sweep --keep-cancelled --where width=64 --root runs"
