"""Why an attempt failed, as one of ten failure kinds, and the retry policy of each kind."""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.jobs.secret_values import without_secrets
from seedfold.jobs.work import ConfigFailure, DataFailure, NonFiniteFailure, ProgramFailure
from seedfold.results.store.passing_errors import FULL_DISK_ERRNOS, PASSING_ERRNOS

FailureKind = Literal["error", "config", "data", "disk", "nan", "oom_host", "oom_gpu", "timeout", "preempted", "node"]
NanPolicy = Literal["auto", "fail", "keep"]
"""What becomes of a metric that is not a number."""
FAILURE_KINDS: tuple[FailureKind, ...] = get_args(FailureKind)

_FULL_DISK_TEXTS = ("No space left on device", "Disk quota exceeded")
_FULL_GPU_TEXTS = ("CUDA out of memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
_AWAY_ERRNOS = PASSING_ERRNOS - {errno.ETIMEDOUT}
"""What a file system says that does not answer. A time-out may also come from another computer on the network."""
REFUSED = "refused"
"""The digest of jobs whose submission the scheduler refused."""
KILLED = "signal-SIGKILL"
"""The digest of a process that was killed, nobody knows by whom: by the kernel, an administrator or a cleaner."""
_HOSTS_THAT_BLAME_THE_JOB = 3
_VARIABLE_PARTS = re.compile(r"0x[0-9a-fA-F]+|(?:/[\w.+-]+)+|\d+(?:\.\d+)?(?:e[+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt. ``digest`` is equal for tracebacks that differ only in numbers, addresses and paths."""

    kind: FailureKind
    reason: str
    digest: str

    def to_dict(self) -> dict[str, str]:
        """Return the JSON form."""
        return {"kind": self.kind, "reason": self.reason, "digest": self.digest}


_PROGRAMS_MEMORY_ERROR = re.compile(r": (?:\w+\.)*_?(?:Array)?MemoryError\b")
"""The last line that a Python program prints if there was too little memory."""


def _cause_chain(error: BaseException) -> list[BaseException]:
    """The error and its causes, the outermost error first."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    return chain


def _kind_of(error: BaseException) -> FailureKind | None:
    name = type(error).__name__
    if isinstance(error, ConfigFailure | UsageError) or name in {"InstantiationException", "ConfigAttributeError"}:
        return "config"
    if isinstance(error, DataFailure):
        return "data"
    if isinstance(error, NonFiniteFailure):
        return "nan"
    if isinstance(error, OSError) and error.errno in FULL_DISK_ERRNOS:
        return "disk"
    if isinstance(error, OSError) and error.errno in _AWAY_ERRNOS:
        return "node"
    if any(text in str(error) for text in _FULL_DISK_TEXTS):
        return "disk"
    if isinstance(error, ProgramFailure) and _PROGRAMS_MEMORY_ERROR.search(str(error)):
        return "oom_host"
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return "oom_host"
    return "oom_gpu" if name == "OutOfMemoryError" or any(text in str(error) for text in _FULL_GPU_TEXTS) else None


def failure_from_exception(error: BaseException) -> Failure:
    """Find the failure kind of an exception: the first that fits an error in its chain of causes, else ``error``.

    If the file system failed, that counts: data that could not be read for this reason are not at fault.
    """
    kinds = [kind for kind in map(_kind_of, _cause_chain(error)) if kind]
    of_storage = (kind for kind in kinds if kind in ("disk", "node"))
    kind: FailureKind = next(of_storage, kinds[0] if kinds else "error")
    return Failure(kind, _escape_unencodable(_reason_of(error)[:400]), _traceback_digest(error))


def _reason_of(error: BaseException) -> str:
    """The first line of an error, or where it was raised if it has no message, as that of a bare ``assert``."""
    import traceback

    name, message = type(error).__name__, without_secrets(str(error), os.environ).strip().splitlines()
    if message:
        return message[0] if isinstance(error, ProgramFailure) else f"{name}: {message[0]}"
    frames = traceback.extract_tb(error.__traceback__)
    return f"{name} in {frames[-1].name}, {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else name


def _escape_unencodable(text: str) -> str:
    """The text with escapes for what UTF-8 cannot encode, such as bytes of a file name in another encoding."""
    return text.encode(errors="backslashreplace").decode()


def _traceback_digest(error: BaseException) -> str:
    import traceback

    frames = [(Path(frame.filename).name, frame.name) for frame in traceback.extract_tb(error.__traceback__)]
    # The number in the message of an error varies from job to job; the number of an exit is what it says.
    text = str(error) if isinstance(error, SystemExit) else _VARIABLE_PARTS.sub("#", str(error))
    return _short_hash([*map(str, frames), type(error).__name__, text])


def _short_hash(parts: Sequence[str]) -> str:
    import hashlib

    return hashlib.sha256("\n".join(parts).encode(errors="backslashreplace")).hexdigest()[:12]


def failure_from_exit(exit_code: int, peak_bytes: int, oom_killed: bool) -> Failure:
    """Describe a process that ended without a message. ``exit_code`` as in `subprocess`: negative for a signal."""
    peak = f"peak memory {peak_bytes / 1024**3:.1f} GB"
    if exit_code >= 0:
        how = " by os._exit, or as another program," if exit_code == 0 else ""
        return Failure(
            "error",
            f"the process exited{how} with code {exit_code} before its attempt was complete; {peak}",
            f"exit-{exit_code}",
        )
    name = signal.Signals(-exit_code).name
    if oom_killed and -exit_code == signal.SIGKILL:
        return Failure("oom_host", f"killed because the machine ran out of memory; {peak}", "oom-killed")
    if -exit_code == signal.SIGKILL:
        return Failure("node", f"the process was killed by {name}, and Seedfold did not do it; {peak}", KILLED)
    return Failure("error", f"the process was killed by {name}; {peak}", f"signal-{name}")


def blame_job_if_killed_everywhere(failure: Failure, node: str, earlier: Sequence[Mapping[str, Any]]) -> Failure:
    """Return the failure of an attempt on ``node``, as an error of the job if it was killed on two other nodes before.

    ``earlier`` are its earlier failures.
    """
    if failure.digest != KILLED:
        return failure
    nodes = {node, *(str(one.get("node", "")) for one in earlier if one.get("digest") == KILLED)} - {""}
    if len(nodes) < _HOSTS_THAT_BLAME_THE_JOB:
        return failure
    return Failure("error", f"{failure.reason}; so it ended on {', '.join(sorted(nodes))}", KILLED)


def failure_from_own_kill(last_error: str | None) -> Failure:
    """Describe a process that kills itself; ``last_error`` is the last error in its log."""
    reason = "the program killed its own process (SIGKILL)"
    if last_error is not None:
        reason += f"; the last error in its log: {last_error}"
    return Failure("error", _escape_unencodable(reason[:400]), _short_hash([_VARIABLE_PARTS.sub("#", reason)]))


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """What is done after a failure of one kind. ``wait_s`` is in seconds.

    The next attempt asks for ``memory`` times as much memory and ``time`` times as much time; with ``other_node`` it
    runs on another node, and with ``larger_gpu`` on the next larger type of GPU. With ``halve_micro_batch`` it computes
    half as many samples at once, and each step is still of the whole batch.
    """

    retries: int
    wait_s: float
    memory: float = 1.0
    time: float = 1.0
    other_node: bool = False
    larger_gpu: bool = False
    halve_micro_batch: bool = False

    @property
    def needs_resubmission(self) -> bool:
        """Whether the next attempt has to be submitted again, because it needs other resources or another node."""
        return self.memory != 1 or self.time != 1 or self.other_node or self.larger_gpu


_POLICY_KEYS = dict.fromkeys(field.name for field in fields(RetryPolicy)).keys()


def _require_mapping(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{key}: {value!r} is not a mapping; write {key}: {{KEY: VALUE}}")
    return value


@dataclass(frozen=True, slots=True)
class RetryPolicies:
    """The policies of all kinds, as configured in ``conf/failures``; ``nan`` is about metrics that are not a number.

    After every ``more_time_after`` time limits at which a job went on from a checkpoint, it gets more time.
    """

    by_kind: Mapping[str, RetryPolicy]
    stop_after_identical: int
    nan: NanPolicy = "auto"
    more_time_after: int = 10

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> RetryPolicies:
        """Read ``failures`` of the configuration. Raises UsageError for an unknown kind, key or word."""
        kinds = dict(_require_mapping("failures.kinds", _require_mapping("failures", settings).get("kinds") or {}))
        for kind, policy in kinds.items():
            if kind not in FAILURE_KINDS:
                raise UsageError(
                    f"failures.kinds.{kind}: no such kind of failure{did_you_mean(kind, FAILURE_KINDS)}; "
                    f"known: {', '.join(FAILURE_KINDS)}"
                )
            for key in set(_require_mapping(f"failures.kinds.{kind}", policy)) - _POLICY_KEYS:
                raise UsageError(f"failures.kinds.{kind}.{key}: unknown key; known: {', '.join(_POLICY_KEYS)}")
        stop = settings.get("stop_after_identical", 5)
        if type(stop) is not int:
            raise UsageError(f"failures.stop_after_identical: {stop!r} is not a whole number")
        more_time_after = settings.get("more_time_after", 10)
        if type(more_time_after) is not int or more_time_after < 1:
            raise UsageError(f"failures.more_time_after: {more_time_after!r} is not a whole number of at least 1")
        nan = settings.get("nan", "auto")
        if nan not in get_args(NanPolicy):
            known = get_args(NanPolicy)
            nearest = did_you_mean(str(nan), known)
            raise UsageError(f"failures.nan: {nan}: no such policy{nearest}; known: {', '.join(known)}")
        return cls({kind: RetryPolicy(**policy) for kind, policy in kinds.items()}, stop, nan, more_time_after)

    def policy_for(self, kind: str) -> RetryPolicy:
        """The policy of a kind; one that is not configured is never retried."""
        return self.by_kind.get(kind, RetryPolicy(retries=0, wait_s=0))

    def memory_after(self, memory_bytes: int, failures: Sequence[Mapping[str, Any]]) -> int:
        """How much memory, in bytes, the next attempt after these failures asks for."""
        memory = float(memory_bytes)
        for failure in failures:
            memory *= self.policy_for(failure["kind"]).memory
        return round(memory)

    def micro_batch_halvings(self, failures: Sequence[Mapping[str, Any]]) -> int:
        """How often the next attempt after these failures halves the samples that it computes at once."""
        return sum(self.policy_for(failure["kind"]).halve_micro_batch for failure in failures)

    def next_retry(self, failures: Sequence[Mapping[str, Any]]) -> RetryPolicy | None:
        """The policy under which the last of these failures is tried again; None if its retries are used up."""
        kind = failures[-1]["kind"]
        policy = self.policy_for(kind)
        used = sum(failure["kind"] == kind for failure in failures)
        return policy if used <= policy.retries else None

    def retries_are_exhausted(self, failures: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the retries are used up, so that only a person can start the job again.

        Without failures they are not.
        """
        return bool(failures) and self.next_retry(failures) is None
