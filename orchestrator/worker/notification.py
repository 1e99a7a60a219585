"""Tells somebody that a study has nothing left to do, by a command or a webhook. Whoever notices it first sends it.

A study has nothing left to do when every job of it is done, failed for good, cancelled, blocked by one of these, or
given up after many equal failures. Each such end is told once; after a `resume` or another launch there is a new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from seedfold.jobs.errors import SeedfoldError
from seedfold.orchestrator.ledger.copy_origin import is_copy
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.notices import MOST_TRIES, Notice
from seedfold.orchestrator.ledger.search_decisions import SEARCH_JOB
from seedfold.orchestrator.settings.notify import Notify, Outcome, is_webhook, public_name
from seedfold.orchestrator.settings.site import read_site_settings
from seedfold.orchestrator.state.job_states import JobState, JobStates, count_states

_NEWS_S = 24 * 3600.0
"""An end that is older is no news: the setting is younger than the end, or nobody has looked for a day."""
_WEBHOOK_S, _COMMAND_S = 10.0, 50.0
_ENDED = frozenset({"done", "paused", "blocked", "cancelled"})


def notify_of_end(states: JobStates) -> str | None:
    """Tell of the end of a study if it has ended, somebody wants to be told, and nobody has done it.

    Only the user who launched the study last tells of it: the command of one person never runs as another. Returns what
    is to be said of a notice that could not be sent.
    """
    study, header = states.ledger.study, states.ledger.plans.header
    settings = _read_settings(header.settings if header else {})
    if settings == Notify() or is_copy(study) or not _is_own(study):
        return None
    if states.ledger.is_partial:
        # The worker of one task of many knows its own jobs only.
        if any(one.open_jobs() for one in states.ledger.live_submissions):
            return None
        states = JobStates(states.root, Ledger(study, keeps=False), states.policies)
    if _is_any_queued(states):
        return None
    found = {job: states.of(job) for job in states.ledger.plans.current_ids()}
    outcome = _find_outcome(states, found)
    target = settings.target(outcome) if outcome else None
    if outcome is None or target is None or not _is_news(states):
        return None
    key = hashlib.sha256(
        json.dumps([outcome, sorted((job, one.state, one.attempt) for job, one in found.items())]).encode()
    )
    notice = Notice(study, key.hexdigest()[:16])
    number = notice.take_try()
    if number is None:
        return None
    reason = _send(target, _message(study, outcome, found), Path(header.folder) if header else study.path)
    if reason is None:
        notice.record_sent()
        return None
    notice.record_failed(number, reason)
    more = "the next command tries it again" if number < MOST_TRIES else "it is not tried again"
    return f"{public_name(target)} could not be told of the end of study {study.name}: {reason}; {more}"


def wants_notice(settings: Mapping[str, Any]) -> bool:
    """Whether anybody is to be told of the end of a study with these settings."""
    return _read_settings(settings) != Notify()


def _read_settings(settings: Mapping[str, Any]) -> Notify:
    """What the study says, and for what it does not say, the site file; nothing if one of them is not valid."""
    try:
        site = Notify.parse(read_site_settings().get("notify"))
        own = Notify.parse(settings.get("notify"))
    except SeedfoldError:
        return Notify()
    return Notify(own.done or site.done, own.failed or site.failed)


def _is_own(study: StudyFolder) -> bool:
    """Whether this user has written the last plan of a study."""
    last = max(study.plans_folder.glob("*.jsonl"), default=None)
    return last is not None and last.stat().st_uid == os.getuid()


def _is_any_queued(states: JobStates) -> bool:
    """Whether a job is queued or running, as far as that is seen without looking at the results of all others."""
    ledger = states.ledger
    current, queued = ledger.plans.current_ids(), ledger.open_submission_of
    open_jobs = (job for job in current if job in queued and not ledger.is_done(job))
    return any(not _has_ended(states, job, states.of(job)) for job in open_jobs)


def _find_outcome(states: JobStates, found: Mapping[str, JobState]) -> Outcome | None:
    """How the study ended; None if it has not, or if a person has ended all that was left."""
    if SEARCH_JOB in states.ledger.open_submission_of:
        # Its workers may plan more jobs.
        return None
    if not found or not all(_has_ended(states, job, one) for job, one in found.items()):
        return None
    if any(one.state == "failed" for one in found.values()):
        return "failed"
    return "done" if all(one.state in {"done", "paused"} or one.has_nothing_to_do for one in found.values()) else None


def _has_ended(states: JobStates, job: str, job_state: JobState) -> bool:
    """Whether nothing more happens to a job without a command."""
    from seedfold.orchestrator.state.given_up import is_given_up

    if job_state.state == "failed":
        failures = states.ledger.record_of(job).failures()
        return not failures or states.policies.retries_are_exhausted(failures)
    return job_state.state in _ENDED or (job_state.state == "waiting" and is_given_up(states, job))


def _is_news(states: JobStates) -> bool:
    return time.time() - states.ledger.latest_time() < _NEWS_S


def _message(study: StudyFolder, outcome: Outcome, found: Mapping[str, JobState]) -> dict[str, Any]:
    """What a webhook gets as JSON, and a command on its standard input; ``text`` is what chat programs show."""
    counts = {state: count for state, count in count_states(found.values()).items() if count}
    reasons = Counter(one.reason for one in found.values() if one.state == "failed")
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    return {
        "text": f"{study.name}: {states}",
        "study": study.name,
        "outcome": outcome,
        "jobs": len(found),
        "states": counts,
        "failures": [{"reason": reason, "jobs": count} for reason, count in reasons.most_common(3)],
        "root": str(study.path.parent),
        "host": os.uname().nodename,
    }


def _send(target: str, message: Mapping[str, Any], folder: Path) -> str | None:
    """Send a message; return why it could not be sent, without what is secret in ``target``."""
    data = json.dumps(message).encode()
    return _post(target, data) if is_webhook(target) else _run(target, data, message, folder)


def _post(target: str, data: bytes) -> str | None:
    import http.client
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    try:
        url = Template(target).substitute(os.environ)
        request = Request(url, data, {"Content-Type": "application/json", "User-Agent": "seedfold"})
        with urlopen(request, timeout=_WEBHOOK_S):
            return None
    except KeyError as error:
        return f"the variable {error.args[0]} is not set"
    except HTTPError as error:
        return f"it answers with HTTP {error.code}"
    except URLError as error:
        return f"it cannot be reached ({type(error.reason).__name__})"
    except (OSError, ValueError, http.client.HTTPException) as error:
        # Their texts may have the URL.
        return f"it cannot be reached ({type(error).__name__})"


def _run(command: str, data: bytes, message: Mapping[str, Any], folder: Path) -> str | None:
    import subprocess

    names = {f"SEEDFOLD_{key.upper()}": str(message[key]) for key in ("study", "outcome", "text")}
    try:
        ended = subprocess.run(
            command,
            shell=True,
            input=data,
            env={**os.environ, **names},
            cwd=folder if folder.is_dir() else None,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_COMMAND_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it took longer than {_COMMAND_S:g} s"
    except OSError as error:
        return f"it could not be started ({type(error).__name__})"
    return None if ended.returncode == 0 else f"it ended with exit code {ended.returncode}"
