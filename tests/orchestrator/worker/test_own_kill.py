"""What is said of a job that kills itself."""

from __future__ import annotations

from pathlib import Path

from seedfold.orchestrator.settings.failures import failure_from_exception, failure_from_exit
from seedfold.orchestrator.worker.own_kill import last_error

LOG = """12:00:00 begins
Traceback (most recent call last):
  File "a.py", line 1, in <module>
    first()
KeyError: 'first'
[rank1]: Traceback (most recent call last):
[rank1]:   File "a.py", line 2, in <module>
[rank1]:     second()
[rank1]:     ^^^^^^^^
[rank1]: lab.errors.DataError: no rows
goes on
"""


def test_the_last_error_of_a_log_is_found_also_where_ranks_are_named(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text(LOG)
    assert last_error(log) == "lab.errors.DataError: no rows"
    log.write_text(LOG.partition("[rank1]")[0])
    assert last_error(log) == "KeyError: 'first'"
    log.write_text("all is well\n")
    assert last_error(log) is None


def _failure(error: BaseException) -> str:
    try:
        raise error
    except BaseException as raised:
        return failure_from_exception(raised).digest


def test_exits_with_different_codes_are_different_failures() -> None:
    assert _failure(SystemExit(3)) == _failure(SystemExit(3))
    assert _failure(SystemExit(3)) != _failure(SystemExit(4))
    assert _failure(ValueError("row 3")) == _failure(ValueError("row 4"))
    assert "os._exit" in failure_from_exit(0, 0, oom_killed=False).reason
    assert "os._exit" not in failure_from_exit(1, 0, oom_killed=False).reason
