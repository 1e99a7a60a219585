"""Deletes a study, or gives it another name.

Both begin with one rename of the study's folder, which happens or does not: nobody sees half of a study under its name.
If a launch was faster and has started jobs meanwhile, the folder gets its name back.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.dispatch.resume import advance_study
from seedfold.orchestrator.ledger.copy_origin import is_copy
from seedfold.orchestrator.ledger.deleted_studies import find_rests, put_aside, remove_rest
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.state.garbage_collection import size_of
from seedfold.orchestrator.state.overview import Overview, status_to_json
from seedfold.orchestrator.state.study_uses import StudyUse, find_uses, refuse_active, refuse_used_now
from seedfold.results.store.passing_errors import find_files


@dataclass(frozen=True)
class Deletion:
    """What deleting a study removes. ``study`` is None if only the ``rests`` of an interrupted deletion are left.

    ``states`` counts its jobs, ``parts`` has the bytes of each of its folders, ``uses`` what other studies use of it,
    ``submissions`` are those that it had.
    """

    name: str
    study: StudyFolder | None
    states: dict[str, int]
    parts: dict[str, int]
    uses: list[StudyUse]
    rests: list[Path]
    submissions: frozenset[str] = frozenset()

    @property
    def bytes(self) -> int:
        """All that is removed."""
        return sum(self.parts.values()) + sum(map(size_of, self.rests))


def plan_deletion(root: Root, name: str) -> Deletion:
    """Say what deleting a study removes.

    Raises UsageError if there is no such study, while jobs of it run or are queued, and while jobs of others read it.
    """
    rests = [path for study, path in find_rests(root) if study == name]
    if rests and not root.study_folder(name).path.exists():
        return Deletion(name, None, {}, {}, [], rests)
    study = root.existing_study(name)
    _refuse_link(study)
    submissions = _submissions_of(study)
    overview = _idle_overview(root, study, "deleted")
    uses = find_uses(root, study)
    refuse_used_now(uses, study, "deleted")
    counts = status_to_json(name, overview.job_views())["states"]
    parts = {entry.name: size_of(Path(entry)) for entry in sorted(os.scandir(study.path), key=lambda one: one.name)}
    states = {state: count for state, count in counts.items() if count}
    return Deletion(study.name, study, states, parts, uses, rests, submissions)


def delete_study(deletion: Deletion) -> None:
    """Delete what was planned. Raises UsageError if a launch was faster."""
    rests = list(deletion.rests)
    if deletion.study is not None:
        rests.append(_rename_while_idle(deletion.study, None, deletion.submissions))
    for rest in rests:
        remove_rest(rest)


def rename_study(root: Root, old: str, new: str) -> StudyFolder:
    """Give a study another name; return its folder.

    Results, claims and other studies refer to jobs by their ids, so that nothing else has to change. Raises UsageError
    if there is a study of that name, while jobs of it run or are queued, and while jobs of others read from it.
    """
    study = root.existing_study(old)
    target = root.study_folder(new)
    if os.path.lexists(target.path):
        raise UsageError(f"rename: there is {target.path} already; choose another name")
    _refuse_link(study)
    for entry in root.path.iterdir():
        if entry.is_symlink() and entry.resolve() == study.path.resolve():
            raise UsageError(f"rename: {entry} is a link to study {study.name}; remove the link first")
    submissions = _submissions_of(study)
    _idle_overview(root, study, "renamed")
    refuse_used_now(find_uses(root, study), study, "renamed")
    return StudyFolder(_rename_while_idle(study, target.path, submissions))


def _submissions_of(study: StudyFolder) -> frozenset[str]:
    return frozenset(path.name for path in find_files(study.submissions_folder, "*"))


def _idle_overview(root: Root, study: StudyFolder, doing: str) -> Overview:
    if is_copy(study):
        return Overview(root, study.name, with_removed=True)
    advance_study(root, Ledger(study))
    return refuse_active(root, study, doing)


def _refuse_link(study: StudyFolder) -> None:
    if study.path.is_symlink():
        raise UsageError(f"{study.path} is a link to {study.path.resolve()}; work on that folder, or remove the link")


def _rename_while_idle(study: StudyFolder, target: Path | None, submissions: frozenset[str]) -> Path:
    """Rename the folder of a study, unless a launch has started jobs since it was looked at, with those submissions.

    A new submission is enough: its worker, about to start, may have died because its folder was renamed.
    """
    renamed = put_aside(study) if target is None else study.path.rename(target)
    now = StudyFolder(renamed)
    if not is_copy(now) and (_submissions_of(now) - submissions or Ledger(now).live_submissions):
        renamed.rename(study.path)
        raise UsageError(f"study {study.name} has just been launched; nothing was changed")
    return renamed
