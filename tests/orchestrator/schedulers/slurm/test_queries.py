"""The sense of SLURM's answers, from executables that print what it has printed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from scripted_scheduler import install, submissions
from toyproject import Toy

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.schedulers.slurm import capabilities, queries
from seedfold.orchestrator.schedulers.slurm.backend import Slurm
from seedfold.orchestrator.schedulers.task_request import array_name
from seedfold.orchestrator.settings.cluster import ClusterSettings

Fake = Callable[..., None]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Put a command on the path that prints ``text``, after ``before``, a line of shell."""

    def put(command: str, text: str = "", before: str = "") -> None:
        (tmp_path / f"{command}.txt").write_text(text)
        script = tmp_path / command
        script.write_text(f'#!/bin/sh\necho "$@" >> "$0.asked"\n{before}\ncat "$0.txt"\n')
        script.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return put


QUEUE = """\
104|2|PENDING|JobArrayTaskLimit|st.train.tok|N/A||N/A
104|3|PENDING|Priority|st.train.tok|2026-11-22T05:43:59||N/A
104|0|RUNNING|None|st.train.tok|2026-11-22T05:43:59|n1|2026-11-22T06:43:59
104|4|TIMEOUT|TimeLimit|st.train.tok|2026-11-22T05:43:59|n1|2026-11-22T06:43:59
104|5|COMPLETING|None|st.train.tok|2026-11-22T05:43:59|n1|2026-11-22T06:43:59
104|6|A_WORD_OF_LATER|None|st.train.tok|2026-11-22T05:43:59|n1|2026-11-22T06:43:59
"""


def test_the_queue_is_read(fake: Fake) -> None:
    fake("squeue", QUEUE)
    found = {row.index: row.state for row in queries.queued_tasks(["st.train.tok"], 10)}
    phases = {index: state.phase for index, state in found.items()}
    assert phases == {2: "pending", 3: "pending", 0: "running", 4: "ended", 5: "running", 6: "running"}
    assert found[2].reason == "waits because of cluster.throttle or seedfold throttle"
    assert (found[4].kind, found[4].reason) == ("timeout", "its task reached the time limit")
    assert {state.array_id for state in found.values()} == {"104"}
    assert found[0].node == "n1"


def test_the_queue_of_one_user_is_asked_for_and_then_that_of_all(
    fake: Fake, tmp_path: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    launched = toy.launch("cluster=slurm", experiment="light")
    assert launched.returncode == 0, launched.stderr
    [array] = submissions(toy)
    slurm = Slurm(ClusterSettings.parse(array.settings["cluster"]))
    monkeypatch.setattr(os, "getuid", lambda: 65534)
    fake("squeue", QUEUE.replace("st.train.tok", array_name(array)).replace("104|", "101|"))
    slurm.query_tasks([array])
    # It was sent by another user, so that all are asked for.
    assert "--user" not in (tmp_path / "squeue.asked").read_text()
    attempt = array.folder / "sending.1"
    attempt.write_text(json.dumps({**json.loads(attempt.read_text()), "user": 65534}))
    assert len(slurm.query_tasks([array])[array.token]) == 6
    asked = (tmp_path / "squeue.asked").read_text().splitlines()[1:]
    assert ["--user=nobody" in line for line in asked] == [True]
    fake("squeue", "")
    slurm.query_tasks([array])
    asked = (tmp_path / "squeue.asked").read_text().splitlines()[2:]
    assert ["--user=nobody" in line for line in asked] == [True, False]


@pytest.mark.parametrize("text", ["slurm_load_jobs error: maybe\n", "104|x|RUNNING|None|a|N/A|n1\n", "104|1|RUNNING\n"])
def test_nonsense_is_no_answer(fake: Fake, text: str) -> None:
    fake("squeue", text)
    with pytest.raises(UnreachableError, match="which Seedfold cannot read"):
        list(queries.queued_tasks(["a"], 10))


def test_a_command_that_fails_hangs_or_is_missing_is_no_answer(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake("squeue", before="echo 'Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(UnreachableError, match="squeue failed: Unable to contact slurm controller"):
        list(queries.queued_tasks(["a"], 10))
    fake("squeue", before="exec sleep 100")
    with pytest.raises(UnreachableError, match=r"squeue did not reply within 0\.2 s"):
        list(queries.queued_tasks(["a"], 0.2))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UnreachableError, match="squeue: command not found"):
        list(queries.queued_tasks(["a"], 10))


@pytest.mark.parametrize(
    ("word", "code", "memory", "kind", "says"),
    [
        ("TIMEOUT", "0:0", (0, 0), "timeout", "time limit"),
        ("NODE_FAIL", "0:0", (0, 0), "node", "node"),
        ("PREEMPTED", "0:0", (0, 0), "preempted", "preempted"),
        ("OUT_OF_MEMORY", "0:125", (0, 0), "oom_host", "more memory"),
        ("FAILED", "0:9", (2 * 1024**3, 2 * 1024**3), "oom_host", "2.0 GB"),
        ("FAILED", "0:9", (2 * 1024**3, 1024**3), "node", "killed by signal 9"),
        ("FAILED", "9:0", (0, 0), "node", "killed by signal 9"),
        ("FAILED", "0:15", (0, 0), "preempted", "killed from outside"),
        ("FAILED", "0:11", (0, 0), "error", "killed by signal 11"),
        ("FAILED", "3:0", (0, 0), "error", "exited with code 3"),
        ("CANCELLED by 1000", "0:15", (0, 0), "cancelled", "by 1000"),
        ("CANCELLED+", "0:15", (0, 0), "cancelled", "cancelled in SLURM"),
        ("COMPLETED", "0:0", (0, 0), None, "ended"),
    ],
)
def test_ends_have_a_kind_and_a_reason(word: str, code: str, memory: tuple[int, int], kind: str, says: str) -> None:
    state = queries.ended_task_state("7", word, code, memory)
    assert (state.phase, state.kind) == ("ended", kind)
    assert says in state.reason


ACCOUNT = """\
12_0|st.train.tok|COMPLETED|0:0|2G||n1
12_0.batch|batch|COMPLETED|0:0||1024K|n1
12_1|st.train.tok|FAILED|0:9|2048M||n2
12_1.batch|batch|FAILED|0:9||2097152K|n2
12_2|st.train.tok|RUNNING|0:0|2G||n2
12_[3-9]|st.train.tok|PENDING|0:0|2G||None assigned
"""


def test_accounting_tells_of_ends_only(fake: Fake) -> None:
    fake("sacct", ACCOUNT)
    found = {row.index: row.state for row in queries.accounted_tasks(["12"], 10) or ()}
    assert {index: state.kind for index, state in found.items()} == {0: None, 1: "oom_host"}
    assert found[1].node == "n2"


def test_without_accounting_nothing_is_known(fake: Fake) -> None:
    fake("sacct", before="echo 'Slurm accounting storage is disabled' >&2; exit 1")
    assert queries.accounted_tasks(["12"], 10) is None


def test_what_a_surrounding_job_left_is_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_MEM_PER_NODE", "SBATCH_PARTITION", "SLURM_CONF"):
        monkeypatch.setenv(name, "x")
    left = {key for key in queries.clean_environment() if key.startswith(("SLURM_", "SBATCH_"))}
    assert left == {"SLURM_CONF"}


def test_a_refusal_is_said_once_and_with_what_there_is(fake: Fake) -> None:
    said = (
        "sbatch: error: invalid partition specified: nix sbatch: error: "
        "allocation failure: Invalid partition name specified"
    )
    assert capabilities.clean_message(said) == "invalid partition specified: nix; Invalid partition name specified"
    fake("sinfo", "debug|7-00:00:00|4|4+|64000|gpu:a100:4(S:0-1)|up\nlow|infinite|2|8|128000|(null)|down\n")
    assert capabilities.advice_on_refusal(capabilities.clean_message(said), 10) == "partitions are debug, low"
    assert "debug (4 nodes of up to 4 CPUs, 62GB, gpu:a100:4; at most 7-00:00:00)" in capabilities.advice_on_refusal(
        "too much", 10
    )
    assert "low (down)" in capabilities.advice_on_refusal("too much", 10)


@pytest.mark.slurm
def test_the_real_ones_answer_as_expected(on_slurm: object, slurm_name: str) -> None:
    assert list(queries.queued_tasks([slurm_name], 30)) == []
    assert int(queries.config_value("MaxArraySize", 30) or 0) > 0
    assert {"debug", "gpu", "low", "high"} <= {one.name for one in capabilities.find_partitions(30)}
    assert any(account.startswith("research") for account in capabilities.find_accounts(30))
