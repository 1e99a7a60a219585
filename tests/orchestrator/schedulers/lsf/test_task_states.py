"""The sense of LSF's answers: lists, ends, replies of `bsub`, queues."""

from __future__ import annotations

import json
import time
from datetime import datetime
from textwrap import wrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedfold.orchestrator.schedulers.lsf import bsub_reply, capabilities, exit_reasons
from seedfold.orchestrator.schedulers.lsf.bjobs_rows import (
    STATES,
    parse_expected_starts,
    parse_json,
    parse_pending_reasons,
    parse_table,
)
from seedfold.orchestrator.schedulers.lsf.task_states import readable_reason

HEADER = "JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME"
TABLE = f"""\
{HEADER}
105     me      RUN   normal     login1      n1          st.train.tok[3] Nov 22 05:43
105     me      PEND  normal     login1         -        st.train.tok[1] Nov  2 05:43
105     me      EXIT  normal     login1      4*n2:2*n3   st.train.tok[12] Nov 22 05:43
105[7]  me      UNKWN normal     login1      n1          st.train.tok[7] Nov 22 05:43
106     me      DONE  normal     login1      n1          my job [1] and more Nov 22 05:43
107     me      PEND  normal     login1      *rain.tok1234[2] Nov 22 05:43
108     me      RUN   normal     login1      n1          a b c Nov 22 05:43:10 2026
"""


def test_expected_starts_are_read_where_lsf_simulates_them() -> None:
    records = [
        {"JOBID": "105", "JOBINDEX": "3", "ESSTART_TIME": "Dec  8 06:15 L"},
        {"JOBID": "105", "JOBINDEX": "4", "ESSTART_TIME": ""},
        {"JOBID": "106", "JOBINDEX": "0", "ESSTART_TIME": "Jan  2 06:15:30 2027"},
        {"JOBID": "107", "ERROR": "Job <107> is not found"},
    ]
    text = "busy today\n" + json.dumps({"COMMAND": "bjobs", "JOBS": 4, "RECORDS": records})
    now = datetime(2026, 12, 1)
    starts = {("105", 3): "2026-12-08T06:15:00", ("106", 0): "2027-01-02T06:15:30"}
    assert parse_expected_starts(text, "esstart_time", now) == starts
    for silent in ("", "<esstart_time> in the format string is not a valid field name.", "{}", '{"RECORDS": 3}'):
        assert parse_expected_starts(silent, "esstart_time", now) == {}


names = st.text("abcXYZ019._-", min_size=1, max_size=30)
rows = st.tuples(st.integers(1, 10**7), st.integers(1, 10**4), st.sampled_from(sorted(STATES)), names, names)


def test_a_table_is_read() -> None:
    found, strange = parse_table(TABLE)
    assert strange == []
    assert [(row.id, row.index, row.state, row.name, row.host) for row in found] == [
        ("105", 3, "RUN", "st.train.tok", "n1"),
        ("105", 1, "PEND", "st.train.tok", ""),
        ("105", 12, "EXIT", "st.train.tok", "n2"),
        ("105", 7, "UNKWN", "st.train.tok", "n1"),
        ("106", 0, "DONE", "my job [1] and more", "n1"),
        ("107", 2, "PEND", "*rain.tok1234", ""),
        ("108", 0, "RUN", "a b c", "n1"),
    ]
    assert found[5].has_name("st.train.tok1234")
    assert not found[5].has_name("st.other.tok1234x")
    assert [row.has_ended for row in found] == [False, False, True, False, True, False, False]


@given(st.lists(rows, max_size=5), st.booleans())
def test_whatever_is_listed_is_read_from_either_form(
    listed: list[tuple[int, int, str, str, str]], pending: bool
) -> None:
    lines = [HEADER]
    for number, index, word, host, name in listed:
        where = "   -    " if pending else host
        lines.append(
            f"{number:<7} {'me':<7} {word:<5} {'normal':<10} {'login1':<11} {where:<11} {name}[{index}] Nov  2 05:43"
        )
    expected = [(str(number), index, word, name) for number, index, word, _, name in listed]
    table, strange = parse_table("\n".join(lines))
    assert strange == []
    assert [(row.id, row.index, row.state, row.name) for row in table] == expected
    records = [
        {"JOBID": str(number), "JOBINDEX": str(index), "STAT": word, "JOB_NAME": f"{name}[{index}]", "EXEC_HOST": host}
        for number, index, word, host, name in listed
    ]
    noise = "LSF is busy today\n" if pending else ""
    found, strange = parse_json(noise + json.dumps({"COMMAND": "bjobs", "JOBS": len(records), "RECORDS": records}))
    assert strange == []
    assert [(row.id, row.index, row.state, row.name) for row in found] == expected


@given(st.text(max_size=200))
def test_any_text_is_read_as_rows_or_is_strange(text: str) -> None:
    for read in (parse_table, parse_json):
        found, strange = read(text)
        assert found or strange or not text.strip() or "JOBID" in text.upper() or "found" in text.lower() or "{" in text


@pytest.mark.parametrize("text", ["<html>log in first</html>", '{"RECORDS": 3}', '{"JOBS": 1}', "104|2|RUNNING\n"])
def test_nonsense_is_strange(text: str) -> None:
    assert parse_table(text)[1]
    assert parse_json(text)[1]


def test_reasons_of_pending_jobs_are_put_in_words() -> None:
    said = f"{HEADER}\n{TABLE.splitlines()[2]}\n Job dependency condition not satisfied;\n Something else;\n"
    assert {key: readable_reason(reason) for key, reason in parse_pending_reasons(said).items()} == {
        ("105", 1): "waits for jobs before it"
    }
    known = {
        " The job array has reached its running element limit;": (
            "waits because of cluster.throttle or seedfold throttle"
        ),
        " Job's requirements for resource reservation not satisfied (Resource: mem);": "waits for free resources",
        " Not enough job slot(s): 3 hosts;": "waits for free slots",
        " Dependency condition invalid or never satisfied;": "can never run: a job that it depends on failed",
        " The job was suspended by the user while pending;": "held by a person",
    }
    assert {said: readable_reason(said.strip()) for said in known} == known
    assert readable_reason("A reason that nobody has heard of;") == "A reason that nobody has heard of"


def told(*lines: str, when: float | None = None) -> exit_reasons.ExitReport:
    """What `bhist -l` says of a task with these lines after its start, broken as LSF breaks its lines."""
    stamp = datetime.fromtimestamp(when if when is not None else time.time() - 3600).strftime("%a %b %d %H:%M:%S")
    text = "\n".join(
        [
            "Job <12[3]>, Job Name <st.train.tok[3]>, User <me>, Project <default>, Command <#!/bin/bash;exit 3>",
            f"{stamp}: Submitted from host <login1>, to Queue <normal>, CWD <$HOME>;",
            f"{stamp}: Dispatched to <n1>;",
            *(f"{stamp}: {line}" for line in lines),
        ]
    )
    broken = "\n".join(("\n" + 21 * " ").join(wrap(line, 58, break_on_hyphens=True)) for line in text.splitlines())
    [(key, found)] = exit_reasons.parse_exit_reports(
        f"\n{broken}\n\nSummary of time in seconds spent in various states"
    ).items()
    assert key == ("12", 3)
    return found


@pytest.mark.parametrize(
    ("lines", "kind", "says"),
    [
        (["Exited with exit code 3. The CPU time used is 0.1 seconds;"], "error", "exited with code 3"),
        (["Exited by signal 9. The CPU time used is 0.1 seconds;"], "node", "killed by signal 9"),
        (["Exited with exit code 137. The CPU time used is 0.1 seconds;"], "node", "killed by signal 9"),
        (["Exited with exit code 140. The CPU time used is 0.1 seconds;"], "timeout", "time limit"),
        (["Exited with exit code 130. The CPU time used is 0.1 seconds;"], "cancelled", "by a person"),
        (["Exited by signal 15. The CPU time used is 0.1 seconds;"], "preempted", "from outside"),
        (["Exited; The CPU time used is unknown;"], "node", "host"),
        (["MAX MEM: 2000 Mbytes; AVG MEM: 20 Mbytes", "Exited by signal 9."], "oom_host", "2.0 GB"),
        (
            [
                "Exited with exit code 1.",
                "Completed <exit>; TERM_MEMLIMIT: job killed after reaching LSF memory limit;",
            ],
            "oom_host",
            "more memory",
        ),
        (["Exited with exit code 1.", "Completed <exit>; TERM_RUNLIMIT: job killed;"], "timeout", "time limit"),
        (["Exited by signal 9.", "Completed <exit>; TERM_PREEMPT: job killed;"], "preempted", "preempted"),
        (["Exited with exit code 1.", "Completed <exit>; TERM_OWNER: job killed by owner;"], "cancelled", "owner"),
        (
            ["Signal <KILL> requested by user or administrator <me>;", "Exited with exit code 1."],
            "cancelled",
            "by a person",
        ),
        (
            ["Signal <KILL> requested by user or administrator <me>;", "Starting (Pid 7);", "Exited with exit code 3."],
            "error",
            "code 3",
        ),
    ],
)
def test_ends_have_a_kind_and_a_reason(lines: list[str], kind: str, says: str) -> None:
    state = exit_reasons.ended_task_state("12", told(*lines), 2048, has_started=True)
    assert (state.phase, state.kind, state.node) == ("ended", kind, "n1")
    assert says in state.reason


def test_an_end_of_this_moment_may_be_a_requeue() -> None:
    fresh = told("Exited with exit code 130.", when=time.time())
    assert exit_reasons.ended_task_state("12", fresh, 2048, has_started=True).phase == "ending"
    killed = told("Signal <KILL> requested by user or administrator <me>;", "Exited.", when=time.time())
    assert exit_reasons.ended_task_state("12", killed, 2048, has_started=True).phase == "ended"


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("Job <101> is submitted to default queue <normal>.\n", "101"),
        ("the site is busy\nJob <7> is submitted to queue <gpu>.\nthank you", "7"),
        ("Job <x> is submitted", None),
        ("Job <1> is submitted to queue <a>.\nJob <2> is submitted to queue <a>.", None),
    ],
)
def test_the_number_is_found_among_other_lines(said: str, number: str | None) -> None:
    assert bsub_reply.parse_job_number(said) == number


@pytest.mark.parametrize(
    ("said", "full"),
    [
        ("Pending job threshold reached. Job not submitted.", True),
        ("User <me> has reached the pending job limit. Job not submitted.", True),
        ("RUNLIMIT: Cannot exceed queue's hard limit(s). Job not submitted.", False),
        ("Job array index too large. The limit of job array is reached. Job not submitted.", False),
        ("No such queue. Job not submitted.", False),
        ("bsub: illegal option -- z\nusage: bsub [-h] [-V]", False),
    ],
)
def test_a_queue_that_is_full_takes_more_later(said: str, full: bool) -> None:
    assert bsub_reply.is_refusal(said)
    assert bsub_reply.is_queue_full(said) is full


QUEUES = """
QUEUE: short
  -- for tests

PARAMETERS/STATISTICS
PRIO NICE STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN SSUSP USUSP  RSV
 35   20  Open:Active      -    -    -    -     0     0     0     0     0     0

DEFAULT LIMITS:
 RUNLIMIT
 5.0 min of n1

MAXIMUM LIMITS:
 RUNLIMIT
 10.0 min of n1

 CORELIMIT MEMLIMIT
      0 M      8 G

SCHEDULING PARAMETERS
           r15s   r1m  r15m   ut      pg    io   ls    it    tmp    swp    mem
 loadSched   -     -     -     -       -     -    -     -     -      -      -

USERS: all
------------------------------------------------------------------------------

QUEUE: old
PRIO NICE STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN SSUSP USUSP  RSV
 35   20  Closed:Inact     -    -    -    -     0     0     0     0     0     0
"""


def test_queues_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities.queries, "site_output", lambda command, timeout_s: QUEUES)
    assert [queue.text() for queue in capabilities.find_queues(1)] == [
        "short (at most 10 min, at most 8 GB)",
        "old (closed)",
    ]
