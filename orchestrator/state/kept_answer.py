"""What ``seedfold status`` says of a large study at rest, kept beside its ledger: a cache, never the truth.

A study is at rest if all its jobs are done, alike but for their values, and nothing else is to be told of it. Of such a
study the answer follows from its files alone, and counts as long as none of them has changed: plans, events, names of
submissions and of results, and the files of results that were younger than a day. Whether code and data have changed
since is asked anew each time, once for all jobs that are alike.
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.study_keys import SEARCH
from seedfold.orchestrator.code.comparison import CodeComparison
from seedfold.orchestrator.code.current_code import CurrentCode
from seedfold.orchestrator.code.snapshots import last_snapshot, roots_of_snapshot
from seedfold.orchestrator.code.source_files import program_folders
from seedfold.orchestrator.ledger.copy_origin import read_copy_origin
from seedfold.orchestrator.ledger.events import Event
from seedfold.orchestrator.ledger.kept_columns import KeptColumns, keep, read_kept, texts_column
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.plan_jobs import file_mark
from seedfold.orchestrator.state.job_states import RECENT_S, JobState
from seedfold.orchestrator.state.job_views import DoneGroup, JobView, JobViews, LateSource, groups_of
from seedfold.orchestrator.state.overview import Overview, removed_ids, status_to_json
from seedfold.orchestrator.state.stage_progress import StageProgress, StudyProgress
from seedfold.orchestrator.state.stale_lines import count_stale_by_kind
from seedfold.orchestrator.state.staleness import OwnChanges

_FORM = 1
"""Of what is kept; to be raised when other things are kept, or are found in another way."""
_WORTH_KEEPING_JOBS = 2000
_SETTLED_S = 60.0
"""After how long the time of a file tells whether it was changed again, although clocks differ and are coarse."""
_NAME = "answer"
Marks = dict[str, dict[str, list[int]]]


@dataclass(frozen=True)
class KeptAnswer:
    """The answer. ``counts`` is as `status_to_json` returns it; ``views`` have the groups of jobs, and no ids."""

    counts: dict[str, Any]
    progress: StudyProgress
    views: JobViews
    code: CodeComparison


def find_marks(study: StudyFolder) -> Marks:
    """Return what changes when anything is added to a study or removed from it."""
    marks = {folder: _marks_in(study.path / folder) for folder in ("plans", "events", "store")}
    # Something is written in the folder of a submission as long as it lives.
    marks["submissions"] = {name: [0] for name in _marks_in(study.path / "submissions")}
    return marks


def _marks_in(folder: Path) -> dict[str, list[int]]:
    with suppress(FileNotFoundError):
        return {entry.name: file_mark(entry.stat()) for entry in os.scandir(folder)}
    return {}


# --- reading it -------------------------------------------------------------------------------------------------------


def read_answer(study: StudyFolder, marks: Marks) -> KeptAnswer | None:
    """Return the answer that was kept of these files; None if there is none, or if anything may be different now."""
    for kept in read_kept(study, _NAME):
        with suppress(OSError, KeyError, TypeError, ValueError, IndexError):
            facts = kept.facts
            is_same = (facts["form"], facts["study"], facts["marks"]) == (_FORM, study.name, marks)
            if is_same and read_copy_origin(study) is None and _are_results_same(study, kept):
                return _make_answer(study, facts)
    return None


def _are_results_same(study: StudyFolder, kept: KeptColumns) -> bool:
    sizes, times = kept.numbers("sizes", "q"), kept.numbers("times", "q")
    store = os.open(study.path / "store", os.O_RDONLY)
    try:
        for path, size, mtime_ns in zip(kept.texts("paths"), sizes, times, strict=True):
            status = os.stat(path, dir_fd=store)
            if status.st_size != size or status.st_mtime_ns != mtime_ns:
                return False
    finally:
        os.close(store)
    return True


def _make_answer(study: StudyFolder, facts: Mapping[str, Any]) -> KeptAnswer:
    jobs = [JobDescription.from_dict(group["job"]) for group in facts["groups"]]
    last = JobDescription.from_dict(facts["last_job"])
    folders = [*program_folders([last]), *roots_of_snapshot(study, facts["snapshot"])]
    code = CodeComparison(study, CurrentCode(Path(facts["folder"]), folders))
    changes = OwnChanges(code)
    groups = []
    for group, job in zip(facts["groups"], jobs, strict=True):
        event: Event = group["event"]
        state = JobState("done", study, group["attempt"], "", event)
        example = JobView(job, state, tuple(changes.find(job, study, event)))
        places = range(group["first"], group["first"] + group["count"])
        groups.append(DoneGroup(example, places, (), (), (), ()))
    views = JobViews((), groups, {}, _NothingMore())
    stages = [StageProgress(stage, counts, elapsed_s, None) for stage, counts, elapsed_s in facts["stages"]]
    counts = {**facts["counts"], "stale": count_stale_by_kind(views)}
    return KeptAnswer(counts, StudyProgress(stages, (), None), views, code)


_NO_JOBS = "an answer that was kept has groups of jobs, and no single ones"


class _NothingMore(LateSource):
    """Nobody asks for a single job of an answer."""

    def read_job(self, row: int) -> JobDescription:
        raise LookupError(_NO_JOBS)

    def read_view(self, group: DoneGroup, number: int) -> JobView:
        raise LookupError(_NO_JOBS)

    def read_axes(self, rows: Sequence[int]) -> Sequence[Mapping[str, Any]]:
        raise LookupError(_NO_JOBS)


# --- keeping it -------------------------------------------------------------------------------------------------------


def is_worth_keeping(study: StudyFolder) -> bool:
    """Whether a study is so large that its marks take less time than reading it."""
    with suppress(FileNotFoundError):
        return sum(entry.stat().st_size for entry in os.scandir(study.plans_folder)) > 100 * _WORTH_KEEPING_JOBS
    return False


def keep_answer(overview: Overview, views: Sequence[JobView], marks: Marks) -> None:
    """Keep what is said of a study at rest. ``marks`` were found before anything was read."""
    header = overview.ledger.plans.header
    if header is None or not _is_settled(marks) or not _is_at_rest(overview, views):
        return
    groups = [_group_facts(group) for group in groups_of(views)]
    stages = StudyProgress.find(overview, views).stages
    last = overview.ledger.plans.last_job()
    facts = {
        "form": _FORM,
        "study": overview.folder.name,
        "marks": marks,
        "folder": header.folder,
        "last_job": None if last is None else last.to_dict(),
        "snapshot": last_snapshot(overview.ledger),
        "groups": groups,
        "stages": [[stage.stage, stage.counts, stage.elapsed_s] for stage in stages],
        "counts": status_to_json(overview.folder.name, views),
    }
    keep(overview.folder, _NAME, facts, _recent_files(overview, views))


def _is_settled(marks: Marks) -> bool:
    """Whether nothing was changed a moment ago: it may change once more without another time."""
    latest = max((mark[-1] for found in marks.values() for mark in found.values()), default=0)
    return latest < (time.time() - _SETTLED_S) * 1e9


def _is_at_rest(overview: Overview, views: Sequence[JobView]) -> bool:
    ledger = overview.ledger
    if not isinstance(views, JobViews) or views.others or len(views) < _WORTH_KEEPING_JOBS:
        return False
    events = [group.example.job_state.event or {} for group in views.groups]
    is_told_apart = len({event["code"] for event in events}) > 1 or any("nan" in event for event in events)
    has_notes = (
        bool(removed_ids(overview))
        or bool(ledger.plans.superseded_ids())
        or bool(+ledger.damaged_lines)
        or bool(ledger.damaged_submissions)
        or bool(overview.states.passed_over)
        or ledger.throttle.limit is not None
    )
    is_plain = SEARCH not in overview.settings and read_copy_origin(overview.folder) is None
    return is_plain and not (ledger.live_submissions or has_notes or is_told_apart)


def _group_facts(group: DoneGroup) -> dict[str, Any]:
    state = group.example.job_state
    return {
        "count": group.count,
        "first": group.places[0],
        "job": group.example.job.to_dict(),
        "event": state.event,
        "attempt": state.attempt,
    }


def _recent_files(overview: Overview, views: Sequence[JobView]) -> dict[str, Any]:
    """The files of results that are looked at each time, below the store."""
    table, ids, since = overview.ledger.table, overview.ledger.plans.table.ids, time.time() - RECENT_S
    paths, sizes, times = list[str](), array("q"), array("q")
    for row in table.rows_with(ids[planned] for group in groups_of(views) for planned in group.rows):
        if table.times[row] >= since:
            folder = overview.folder.result_folder_text(table.ids[row], table.attempts[row])
            below = os.path.relpath(folder, overview.folder.path / "store")
            for name, size, mtime_ns in table.expected_files(row):
                paths.append(f"{below}/{name}")
                sizes.append(size)
                times.append(mtime_ns)
    return {"paths": texts_column(paths), "sizes": sizes, "times": times}
