"""Whatever a scheduler's commands print, the answer is read, or an error says that it cannot be read.

``CORPUS`` keeps answers that were once mistaken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.schedulers.lsf import bjobs_rows, bsub_reply, capabilities, exit_reasons
from seedfold.orchestrator.schedulers.lsf import queries as lsf_queries
from seedfold.orchestrator.schedulers.slurm import capabilities as slurm_capabilities
from seedfold.orchestrator.schedulers.slurm import queries

CORPUS = [
    "104|²|PENDING|None|name|N/A||N/A",
    f"104|{'9' * 5000}|PENDING|None|name|N/A||N/A",
    "104|1||None|name|N/A||N/A",
    "104_1|name| |0:0|4G|.|n1",
    "104_²|name|FAILED|1:0|4G|1K|n1",
    "104_1|name|FAILED|1:0|1.2.3G|...|n1",
    f"104_{'9' * 5000}|name|FAILED|9999999999999999999999:0|{'9' * 400}T|1K|n1",
    '{"RECORDS": [{"JOBID": "²", "STAT": "RUN"}]}',
    '{"RECORDS": [{"JOBID": "1", "STAT": "RUN", "JOBINDEX": "²"}]}',
    '{"RECORDS": ' + "[" * 3000,
    '{"RECORDS": 5}',
    '{"RECORDS": [5]}',
    '{"RECORDS": {"a": 1}}',
    f"{'9' * 5000}[{'9' * 5000}] me RUN normal n1 n2 name[1] Nov 22 10:00",
    f"Job <1[{'9' * 5000}]>, Job Name <x>, Status <EXIT>",
    "QUEUE: normal\nRUNLIMIT\n1.2.3 min\nMEMLIMIT\n... G\n",
    "HOST_NAME STATUS JL/U MAX\nn1 ok - ²\n",
    "MaxArraySize = ²",
    "normal*|²|up|1-00:00:00|4|512000+|gpu:²",
]
words = st.sampled_from(
    [*"|_[]{}:<>,=.*-²9٣", " ", "\n", "\t", "RUN", "PENDING", "FAILED", "EXIT", "N/A", "4G", "1:9", "\0"]
)
pieces = st.one_of(words, st.sampled_from(CORPUS), st.text(max_size=6))
answers = st.lists(pieces, max_size=12).map("".join)


def examples(function: Callable[..., Any]) -> Callable[..., Any]:
    for answer in CORPUS:
        function = example(answer)(function)
    return function


@contextmanager
def answering(answer: str) -> Iterator[None]:
    """Have all commands print the same."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (queries, slurm_capabilities.queries):
            patch.setattr(module, "output_of", lambda *_, **__: answer)
        for name in ("site_output", "output_of"):
            if hasattr(lsf_queries, name):
                patch.setattr(lsf_queries, name, lambda *_, **__: answer)
        yield


@examples
@given(answers)
def test_slurm(answer: str) -> None:
    with answering(answer):
        for ask in (
            lambda: list(queries.queued_tasks(["name"], 1)),
            lambda: queries.accounted_tasks(["104"], 1),
            lambda: queries.config_value("MaxArraySize", 1),
            lambda: slurm_capabilities.find_partitions(1),
            lambda: slurm_capabilities.find_accounts(1),
            lambda: slurm_capabilities.clean_message(answer),
        ):
            with suppress(UnreachableError):
                ask()


@examples
@given(answers)
def test_lsf(answer: str) -> None:
    rows, _ = bjobs_rows.parse_table(answer)
    more, _ = bjobs_rows.parse_json(answer)
    assert all(row.id.isdecimal() and row.index >= 0 for row in (*rows, *more))
    bjobs_rows.parse_pending_reasons(answer)
    number = bsub_reply.parse_job_number(answer)
    assert number is None or number.isdecimal()
    bsub_reply.clean_message(answer)
    for report in exit_reasons.parse_exit_reports(answer, answer).values():
        exit_reasons.ended_task_state("1", report, 100.0, has_started=True, listed_exit_text=answer)
    with answering(answer):
        for ask in (
            lambda: capabilities.find_queues(1),
            lambda: capabilities.find_default_queue(1),
            lambda: capabilities.find_hosts(1),
        ):
            with suppress(UnreachableError):
                ask()
