"""The details of one job: its description, its attempts, its result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seedfold.jobs.identity import replace_by_texts
from seedfold.orchestrator.code.snapshots import read_snapshot_record
from seedfold.orchestrator.ledger.claims import is_published
from seedfold.orchestrator.ledger.damaged_files import DamagedFileError
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.ledger.ledger import JobRecord
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.state.job_files import find_checkpoints, find_outputs
from seedfold.orchestrator.state.job_lookup import FoundJob
from seedfold.orchestrator.state.overview import JobView, Overview
from seedfold.results.store.published import Result, load_result


class JobDetails:
    """One job, with its study and the study that holds its attempts."""

    def __init__(self, root: Root, found_job: FoundJob, overview: Overview | None = None) -> None:
        """``overview`` is that of the job's study, where it has been read already."""
        self._root = root
        self.found_job = found_job
        self.job = found_job.job
        overview = overview or Overview(root, found_job.study.name)
        self.view: JobView = overview.job_view(found_job.job)
        self.is_superseded = found_job.job.id in overview.ledger.plans.superseded
        self.is_removed = not self.is_superseded and found_job.job.id not in overview.ledger.plans.current_ids()
        self.holding_study = self.view.job_state.holding_study
        is_elsewhere = self.holding_study.path != overview.folder.path
        ledger = Overview(root, self.holding_study.name).ledger if is_elsewhere else overview.ledger
        self.record: JobRecord = ledger.record_of(found_job.job.id)
        self._last_submission_of = ledger.last_submission_of
        shares = ledger.gpu_shares.of_stages() if found_job.job.resources.gpus else []
        self.gpu_share = next((share for share in shares if share.stage == found_job.job.stage), None)
        """How many jobs of its stage share a GPU, as their workers have found."""

    def attempts(self) -> Iterator[dict[str, Any]]:
        """Yield each attempt: number, how it ended, when, where, why; times in seconds since the epoch."""
        for number, last_event in sorted(self.record.last_events.items()):
            started = self.record.start_events.get(number)
            process = (started or {}).get("process") or {}
            log = self.holding_study.log_file(self.job.id, number)
            yield {
                "attempt": number,
                "state": "running"
                if last_event["e"] == "started" and self.view.state == "running"
                else last_event["e"],
                "started": started["t"] if started else None,
                "ended": last_event["t"] if last_event["e"] != "started" else None,
                "host": process.get("host") or last_event.get("host"),
                "kind": last_event.get("kind"),
                "reason": last_event.get("reason"),
                "peak_memory_bytes": last_event.get("peak") or None,
                "log": str(log) if log.exists() else None,
            }

    def latest_result(self) -> Result | None:
        """The latest published result; None if there is none."""
        done = self.record.done_event
        number = self.view.job_state.attempt if self.view.state == "done" else done["n"] if done else 0
        if not number or not is_published(self.holding_study, self.job.id, number):
            return None
        return load_result(self.holding_study.result_folder(self.job.id, number))

    def config(self) -> dict[str, Any]:
        """The configuration as plain data; where the job is done, with the values that only the job could know."""
        result = self.latest_result()
        config: dict[str, Any] = replace_by_texts(self.job.to_dict()["config"], result.resolved if result else {})
        return config

    def config_text(self) -> str:
        """The configuration as YAML."""
        import yaml

        text: str = yaml.safe_dump(self.config(), sort_keys=False, allow_unicode=True)
        return text.rstrip("\n")

    def checkpoints(self) -> dict[str, Path]:
        """The checkpoints that are there, by role: ``best``, ``last``, and ``best/HEAD`` for some heads."""
        return find_checkpoints(self._root, self.holding_study, self.job.id, self.job.fit)

    def outputs(self) -> Path | None:
        """The folder under ``outputs/`` of the study with the files of this job for people; None if there are none."""
        return find_outputs(self.holding_study, self.job)

    def snapshot_info(self) -> dict[str, Any] | None:
        """The snapshot that the result comes from, or with which the job was submitted; None without a snapshot.

        ``git`` has the commits and the differences from them; it is None if the snapshot is gone.
        """
        snapshot = self._snapshot_digest()
        if snapshot is None:
            return None
        folder = self.holding_study.snapshots_folder / snapshot
        try:
            git = read_snapshot_record(self.holding_study, snapshot)["git"]
        except FileNotFoundError:
            return {"snapshot": snapshot, "folder": str(folder), "git": None}
        repositories = [
            {**repository, "diff": str(folder / repository["diff"]) if "diff" in repository else None}
            for repository in git
        ]
        return {"snapshot": snapshot, "folder": str(folder), "git": repositories}

    def _snapshot_digest(self) -> str | None:
        result = self.latest_result()
        try:
            if result is not None:
                return Submission.read(self.holding_study.submissions_folder / result.provenance["submission"]).snapshot
        except (FileNotFoundError, DamagedFileError):
            return None
        last_submission = self._last_submission_of.get(self.job.id)
        return last_submission.snapshot if last_submission else None

    def to_json(self) -> dict[str, Any]:
        """The JSON form that ``show --json`` prints."""
        result = self.latest_result()
        return {
            **self.job.to_dict(),
            "state": self.view.state,
            "reason": self.view.job_state.reason or None,
            "stale": self.view.stale,
            "superseded": self.is_superseded,
            "attempts": list(self.attempts()),
            "code": self.snapshot_info(),
            "checkpoints": {role: str(path) for role, path in self.checkpoints().items()},
            "outputs": None if (outputs := self.outputs()) is None else str(outputs),
            "result": None if result is None else self._result_json(result),
        }

    def _result_json(self, result: Result) -> dict[str, Any]:
        return {
            "folder": str(self.holding_study.result_folder(self.job.id, result.attempt)),
            "attempt": result.attempt,
            "seconds": round(result.seconds, 3),
            "files": dict(result.files),
            "metrics": list(result.metrics),
            "provenance": dict(result.provenance),
        }
