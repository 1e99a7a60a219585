"""Commands that act on some of the jobs: --where, --stage and --limit mean the same everywhere."""

from __future__ import annotations

import pytest
from toyproject import Toy, make_toy

LAUNCH = ("launch", "--config-dir", "conf", "experiment=light", "fail_seeds=[1]")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """The study light, whose seed 0 is done and whose seed 1 has failed."""
    toy = make_toy(tmp_path_factory.mktemp("selected"))
    toy.run_in_process(*LAUNCH)
    toy.wait_for_workers()
    return toy


@pytest.mark.parametrize(
    "words",
    [
        ("cancel", "light"),
        ("resume", "light"),
        ("rerun", "light"),
        ("results", "light"),
        ("report", "light"),
        ("status", "light"),
        ("watch", "light"),
        ("logs", "light", "--failed"),
        LAUNCH,
    ],
    ids=lambda words: words[0],
)
def test_a_stage_or_an_axis_that_is_not_there_is_one_line(toy: Toy, words: tuple[str, ...]) -> None:
    for option, text in (
        (("--stage", "trian"), "--stage trian: no such stage (did you mean 'train'?); stages: train"),
        (("--where", "sed=1"), "sed: no such axis (did you mean 'seed'?)"),
    ):
        ended = toy.run_in_process(*words, *option)
        assert ended.returncode == 2
        assert ended.stderr.startswith(f"seedfold: {text}")
        assert ended.stderr.count("\n") == 1


def test_logs_and_results_of_some_of_the_jobs(toy: Toy) -> None:
    for options, count in ((("--where", "fold=1"), 1), (("--limit", "2"), 2)):
        lines = toy.output_of("logs", "light", "--failed", *options).splitlines()
        assert len({line.split()[0] for line in lines}) == count
    job = toy.json_of("show", "seed=0", "fold=1")["id"]
    for condition in (f"job={job[:8]}", f"id={job}", "stage=train fold=1"):
        rows = toy.output_of("results", "light", "runs", "--where", condition, "--format", "csv").splitlines()
        assert [row.split(",")[0] for row in rows[1:]] == [job[:12]]


def test_the_report_of_some_of_the_jobs_is_a_file_of_its_own(toy: Toy) -> None:
    written = toy.output_of("report", "light", "--where", "seed=0", "--limit", "2")
    page = toy.study("light").report_file.with_name("report_selected.html")
    assert written == f"{page}\n"
    assert "--where seed=0 --limit 2" in page.read_text()
    assert not toy.study("light").report_file.exists()


def test_what_is_selected_is_told_before_anything_happens(toy: Toy) -> None:
    nothing = toy.output_of("cancel", "light", "--where", "seed=0").splitlines()
    assert nothing == ["to cancel: 0 jobs, by --where seed=0", "light: nothing to cancel"]
    job = toy.json_of("show", "seed=0", "fold=1")["id"]
    # 1e… would be a number, were it not the beginning of an id.
    refused = toy.run_in_process(*LAUNCH, "--rerun", "job=1e7777777")
    assert (refused.returncode, refused.stderr) == (2, "seedfold: job=1e7777777: no job's id begins so\n")
    again = toy.run_in_process(*LAUNCH, "--rerun", f"job={job[:10]}", "--where", f"id={job[:10]}", "--detach")
    assert again.stdout.startswith(f"to start: 1 job, by --where id={job[:10]}\nlight: 6 jobs, started 1;")
    toy.wait_for_workers()
    assert toy.executions()[job] == 2
