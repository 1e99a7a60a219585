from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from seedfold.jobs.errors import UsageError
from seedfold.jobs.work import ConfigFailure, DataFailure, NonFiniteFailure
from seedfold.orchestrator.settings.failures import Failure, RetryPolicies, failure_from_exception, failure_from_exit


def _raised(raiser: Callable[[], object]) -> Failure:
    try:
        raiser()
    except Exception as error:
        return failure_from_exception(error)
    raise AssertionError("nothing was raised")


def _raise(error: BaseException) -> None:
    raise error


class OutOfMemoryError(RuntimeError):
    """Named like the one of torch.cuda."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("no"), "error"),
        (ConfigFailure("no such class"), "config"),
        (DataFailure("labels.csv: row 3"), "data"),
        (NonFiniteFailure("loss is nan"), "nan"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk"),
        (OSError(errno.EROFS, "Read-only file system"), "disk"),
        # Of HDF5, and of shared memory in torch.
        (OSError("write failed: errno = 28, error message = 'No space left on device'"), "disk"),
        (RuntimeError("unable to write to file </torch_1>: No space left on device (28)"), "disk"),
        (OSError(errno.EIO, "Input/output error"), "node"),
        (OSError(errno.ESTALE, "Stale file handle"), "node"),
        (TimeoutError(errno.ETIMEDOUT, "Connection timed out"), "error"),
        (OSError(errno.ENOENT, "No such file"), "error"),
        (MemoryError(), "oom_host"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "oom_host"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate"), "oom_gpu"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "oom_gpu"),
        (RuntimeError("CUDA error: out of memory"), "oom_gpu"),
    ],
)
def test_kinds(error: Exception, kind: str) -> None:
    assert _raised(lambda: _raise(error)).kind == kind


def test_the_cause_decides_where_the_outermost_says_nothing() -> None:
    def wrapped() -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise RuntimeError("could not save") from error

    assert _raised(wrapped).kind == "disk"


def test_data_that_the_file_system_did_not_give_are_not_at_fault() -> None:
    def wrapped() -> None:
        try:
            raise OSError(errno.EIO, "Input/output error")
        except OSError as error:
            raise DataFailure("image.png: cannot be read") from error

    assert _raised(wrapped).kind == "node"


@pytest.mark.parametrize("error", [AssertionError(), StopIteration(), ValueError(" \n")])
def test_an_error_without_a_message_is_told_with_its_place(error: Exception) -> None:
    line = _raise.__code__.co_firstlineno + 1
    assert _raised(lambda: _raise(error)).reason == f"{type(error).__name__} in _raise, {Path(__file__).name}:{line}"


def test_an_error_that_was_never_raised_has_its_name_alone() -> None:
    assert failure_from_exception(MemoryError()).reason == "MemoryError"


def test_tracebacks_are_one_whatever_numbers_and_paths_they_name() -> None:
    def bad(seed: int) -> None:
        raise ValueError(f"shape ({seed}, 3) at 0x{seed:x} in /data/run{seed}/x.npy")

    digests = {_raised(lambda seed=seed: bad(seed)).digest for seed in (1, 22, 333)}  # type: ignore[misc]
    assert len(digests) == 1
    assert _raised(lambda: _raise(ValueError("another"))).digest not in digests


@pytest.mark.parametrize(
    ("code", "oom", "kind", "says"),
    [
        (-9, False, "node", "SIGKILL"),
        (-9, True, "oom_host", "ran out of memory"),
        (-11, False, "error", "SIGSEGV"),
        (3, False, "error", "code 3"),
    ],
)
def test_a_death_without_a_word(code: int, oom: bool, kind: str, says: str) -> None:
    failure = failure_from_exit(code, 3 * 1024**3, oom)
    assert failure.kind == kind
    assert says in failure.reason
    assert "3.0 GB" in failure.reason


def test_retries_are_counted_by_kind() -> None:
    policies = RetryPolicies.parse({"kinds": {"oom_host": {"retries": 2, "wait_s": 5}}})
    oom, error = {"kind": "oom_host"}, {"kind": "error"}
    assert policies.next_retry([oom]) is not None
    assert policies.next_retry([oom, error, oom]) is not None
    assert policies.next_retry([oom, oom, oom]) is None
    assert policies.next_retry([oom, error]) is None


def test_unknown_kinds_and_keys_are_named() -> None:
    with pytest.raises(UsageError, match="did you mean 'oom_host'"):
        RetryPolicies.parse({"kinds": {"oom_hots": {"retries": 1, "wait_s": 0}}})
    with pytest.raises(UsageError, match="retry"):
        RetryPolicies.parse({"kinds": {"error": {"retry": 1}}})
    with pytest.raises(UsageError, match=r"failures.nan: kept: no such policy \(did you mean 'keep'\?\); known: auto"):
        RetryPolicies.parse({"nan": "kept"})
    assert RetryPolicies.parse({}).nan == "auto"
