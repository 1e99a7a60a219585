"""What other studies of a root use of a study, and what is going on in it: to delete or rename it safely."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from seedfold.jobs.errors import UsageError, count_noun
from seedfold.orchestrator.ledger.fits import has_fit
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.state.job_states import ACTIVE_STATES
from seedfold.orchestrator.state.overview import JobView, Overview, unique_by_id


@dataclass(frozen=True, slots=True)
class StudyUse:
    """What another ``study`` uses: the number of its jobs whose results are here, and of its open jobs with fits here.

    ``active_count`` of its jobs read from here and run now, or are queued.
    """

    study: str
    result_count: int
    fit_count: int
    active_count: int

    def to_text(self) -> str:
        """Return it as one line of text."""
        parts = [
            f"{count_noun(self.result_count, 'result')}" if self.result_count else "",
            f"{count_noun(self.fit_count, 'trained fit')}" if self.fit_count else "",
        ]
        return f"study {self.study} uses {' and '.join(filter(None, parts))} of it"


def find_uses(root: Root, study: StudyFolder) -> list[StudyUse]:
    """Return what the other studies of a root use of a study, without those that use nothing."""
    others = [folder for folder in root.study_folders() if folder.path != study.path]
    uses = (_find_use(Overview(root, folder.name, with_removed=True), study) for folder in others)
    return [use for use in uses if use.result_count or use.fit_count]


def _find_use(overview: Overview, study: StudyFolder) -> StudyUse:
    views = unique_by_id(overview.job_views())
    open_views = [view for view in views if view.state != "done"]
    with_fits = [view for view in open_views if _has_fit_only(overview.folder, study, view)]
    results = sum(view.state == "done" and view.job_state.holding_study.path == study.path for view in views)
    readers = [view for view in open_views if view.state in ACTIVE_STATES and _reads(overview, study, view)]
    active = {view.job.id for view in (*readers, *(one for one in with_fits if one.state in ACTIVE_STATES))}
    return StudyUse(overview.folder.name, results, len({view.job.fit for view in with_fits}), len(active))


def _has_fit_only(own: StudyFolder, study: StudyFolder, view: JobView) -> bool:
    """Whether a job would go on from a fit of ``study``, because its own study has not finished one."""
    return has_fit(study.job_folder(view.job.fit)) and not has_fit(own.job_folder(view.job.fit))


def _reads(overview: Overview, study: StudyFolder, view: JobView) -> bool:
    holders = (overview.states.of(parent).holding_study.path for parent in view.job.parents)
    return view.job_state.holding_study.path == study.path or study.path in holders


def refuse_active(root: Root, study: StudyFolder, doing: str) -> Overview:
    """Return the overview of a study of which no job runs or is queued.

    Raises UsageError, which has ``doing`` in its message, if one does.
    """
    overview = Overview(root, study.name, with_removed=True)
    active = Counter(_active_states(overview))
    if active:
        counts = ", ".join(f"{count} {state}" for state, count in sorted(active.items()))
        raise UsageError(
            f"study {study.name} cannot be {doing} while jobs of it run or are queued ({counts}); wait for them, or"
            f" stop them with seedfold cancel {study.name}"
        )
    if overview.ledger.live_submissions:
        raise UsageError(
            f"study {study.name} cannot be {doing} while a worker of it has not ended; run the command again in a"
            " moment"
        )
    return overview


def _active_states(overview: Overview) -> Iterator[str]:
    for view in unique_by_id([*overview.job_views(), *overview.superseded_views()]):
        if view.state in ACTIVE_STATES and view.job_state.holding_study.path == overview.folder.path:
            yield view.state


def refuse_used_now(uses: list[StudyUse], study: StudyFolder, doing: str) -> None:
    """Raise UsageError, with ``doing``, if jobs of other studies read from a study at this moment."""
    for use in uses:
        if use.active_count:
            jobs = count_noun(use.active_count, "job reads", "jobs read")
            raise UsageError(
                f"study {study.name} cannot be {doing}: {jobs} from it that study {use.study} runs or has in a queue;"
                f" wait for them, or stop them with seedfold cancel {use.study}"
            )
