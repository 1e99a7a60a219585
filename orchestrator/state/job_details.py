"""All that is known of one job: its description, its attempts, its result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seedfold.orchestrator.code.snapshots import read_record
from seedfold.orchestrator.ledger.claims import is_published
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.reader import Record
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.state.job_lookup import Found
from seedfold.orchestrator.state.overview import JobView, Overview
from seedfold.results.store.published import Result, load_result


class Dossier:
    """One job, where its study and the study that holds its attempts know it."""

    def __init__(self, root: Root, found: Found) -> None:
        self.found = found
        self.job = found.job
        asked = Overview(root, found.study.name)
        self.view: JobView = asked.view(found.job)
        self.current = found.job.id in asked.ledger.plans.current_ids()
        self.home = self.view.standing.home
        ledger = Overview(root, self.home.name).ledger
        self.record: Record = ledger.record(found.job.id)
        self._handed_over = ledger.handed_over

    def attempts(self) -> Iterator[dict[str, Any]]:
        """Yield each attempt: number, how it ended, when, where, why; times in seconds since the epoch."""
        for number, last in sorted(self.record.attempts.items()):
            started = self.record.started.get(number)
            process = (started or {}).get("process") or {}
            log = self.home.log(self.job.id, number)
            yield {
                "attempt": number,
                "state": "running" if last["e"] == "started" and self.view.state == "running" else last["e"],
                "started": started["t"] if started else None,
                "ended": last["t"] if last["e"] != "started" else None,
                "host": process.get("host") or last.get("host"),
                "kind": last.get("kind"),
                "reason": last.get("reason"),
                "peak_memory_bytes": last.get("peak") or None,
                "log": str(log) if log.exists() else None,
            }

    def result(self) -> Result | None:
        """The latest published result; None if there is none."""
        done = self.record.done
        number = self.view.standing.attempt if self.view.state == "done" else done["n"] if done else 0
        if not number or not is_published(self.home, self.job.id, number):
            return None
        return load_result(self.home.published(self.job.id, number))

    def code(self) -> dict[str, Any] | None:
        """The snapshot of the code that the result comes from, or that the job was handed over with; None without one.

        ``git`` names commits, and the differences from them; it is None where the snapshot is gone.
        """
        snapshot = self._snapshot()
        if snapshot is None:
            return None
        folder = self.home.snapshots / snapshot
        try:
            git = read_record(self.home, snapshot)["git"]
        except FileNotFoundError:
            return {"snapshot": snapshot, "folder": str(folder), "git": None}
        whole = [{**one, "diff": str(folder / one["diff"]) if "diff" in one else None} for one in git]
        return {"snapshot": snapshot, "folder": str(folder), "git": whole}

    def _snapshot(self) -> str | None:
        result = self.result()
        try:
            if result is not None:
                return Submission.read(self.home.submissions / result.provenance["submission"]).snapshot
        except FileNotFoundError:
            return None
        last = self._handed_over.get(self.job.id)
        return last.snapshot if last else None

    def to_json(self) -> dict[str, Any]:
        """The shape that ``show --json`` prints."""
        result = self.result()
        return {
            **self.job.to_dict(),
            "state": self.view.state,
            "reason": self.view.standing.reason or None,
            "stale": self.view.stale,
            "superseded": not self.current,
            "attempts": list(self.attempts()),
            "code": self.code(),
            "result": None if result is None else self._result_json(result),
        }

    def _result_json(self, result: Result) -> dict[str, Any]:
        return {
            "folder": str(self.home.published(self.job.id, result.attempt)),
            "attempt": result.attempt,
            "seconds": round(result.seconds, 3),
            "files": dict(result.files),
            "metrics": list(result.metrics),
            "provenance": dict(result.provenance),
        }
