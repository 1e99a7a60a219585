"""Rendered files as bash reads them, whatever their values hold."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from in_bash import in_bash

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.dispatch.render import TARGETS, render
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.schedulers.rendered_script import JOBS_FILE, RenderRequest
from seedfold.orchestrator.state.fusing import Fusing

ODD = " '\"$`\\;&|<>(){}[]*?~#!%=-\n\r\t1é漢\u00a0\u2028"
HOSTILE = st.text(st.sampled_from(ODD), max_size=12) | st.text(st.characters(codec="utf-8"), max_size=12)


def hostile_jobs(stages: Sequence[str], value: str) -> list[JobDescription]:
    """Two jobs in each stage, each the child of one in the stage before."""
    jobs: list[JobDescription] = []
    for number, stage in enumerate(dict.fromkeys(stages)):
        for index in range(2):
            parents = (jobs[2 * (number - 1) + index].id,) if number else ()
            name = f"{2 * number + index:x}" * 64
            jobs.append(JobDescription(name, "s", stage, {"a": value, value: index}, {}, parents, Resources(), "r"))
    return jobs


def refusal(out: Path, target: str, order: RenderRequest, jobs: Sequence[JobDescription]) -> str | None:
    """Render; return what was said if it was refused."""
    fusing = Fusing(Ledger(Root(Path("nowhere")).study_folder("s")), order.settings)
    try:
        render(out, target, order, jobs, jobs, fusing)
    except UsageError as error:
        return str(error)
    return None


def check_shell(folder: Path, out: Path, jobs: Sequence[JobDescription], root: list[str]) -> None:
    got = [call for file in sorted(out.glob("*.sh")) for call in in_bash(folder, "--", str(file.relative_to(folder)))]
    file = f"{out.relative_to(folder)}/{JOBS_FILE}"
    assert got == [["run", one.short_id, "--jobs", file, "--record", *root] for one in jobs]


def check_arrays(folder: Path, out: Path, jobs: Sequence[JobDescription], root: list[str], target: str) -> None:
    scripts = sorted(out.glob(f"*.{target}"))
    jobs_file = str(out / JOBS_FILE)
    got = []
    for file, index in itertools.product(scripts, ("1", "2")):
        environment = {"SLURM_ARRAY_TASK_ID": index, "LSB_JOBINDEX": index, "SEEDFOLD_JOBS": jobs_file}
        got += in_bash(folder, str(file), jobs_file, **environment)
    assert got == [["run", one.short_id, "--jobs", jobs_file, "--record", *root] for one in jobs]
    submitted = in_bash(folder, "--", str((out / "submit_all.sh").relative_to(folder)))
    if target == "sbatch":
        assert [call[-2:] for call in submitted] == [[str(file), jobs_file] for file in scripts]
    else:
        assert submitted == [[], *([["-w", "ended(77)"]] * (len(scripts) - 1))]


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stages=st.lists(HOSTILE, min_size=1, max_size=2), value=HOSTILE, root=st.none() | HOSTILE, name=HOSTILE)
@example(stages=["-n"], value="\n rm -rf x\n", root="-x", name="-n")
@example(stages=["a b", "$(touch x)"], value="'; touch x; '", root="$(touch x)`touch x`", name="a'b\"c $(touch x)")
def test_whatever_a_value_holds_bash_gets_it_or_it_is_refused(
    target: str, stages: list[str], value: str, root: str | None, name: str
) -> None:
    assume(name not in {"", ".", "..", ".stubs"} and "/" not in name and "\0" not in name)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        jobs = hostile_jobs(stages, value)
        order = RenderRequest("s", {"cluster": {}}, root=root)
        refused = refusal(folder / name, target, order, jobs)
        if refused is not None:
            assert "has newlines" in refused
            assert len(refused.splitlines()) == 1
            assert not list(folder.iterdir())
            return
        given_root = [] if root is None else ["--root", root]
        if target == "shell":
            check_shell(folder, folder / name, jobs, given_root)
        else:
            check_arrays(folder, folder / name, jobs, given_root, target)
        assert {path.name for path in folder.iterdir()} == {name, ".stubs"}, "something else was run"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.sampled_from(ODD), max_size=8))
@example("cat <<'X'")
@example(":; }; { :")
@example("sleep 0 # done \\")
def test_a_separator_takes_no_command_with_it_or_is_refused(separator: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        jobs = hostile_jobs(["a"], "x")
        refused = refusal(folder / "out", "shell", RenderRequest("s", {"cluster": {}}, separator=separator), jobs)
        if refused is not None:
            assert len(refused.splitlines()) == 1
            return
        assert [call[1] for call in in_bash(folder, "out/01_a.sh")] == [one.short_id for one in jobs]
