"""Which jobs of a study are done, or wait in a queue, found from the columns of its ledger and the lists of its store,
without a loop of questions for each job.

Only what is so for sure is found here: a job whose result differs in anything from what its event says, whose parents
count, or that runs again, is left to `seedfold.orchestrator.state.job_states`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence

from seedfold.orchestrator.ledger.bulk_stat import ClaimListing, list_names, prefetch_stats
from seedfold.orchestrator.ledger.job_table import NOBODY, JobTable
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger

Alike = tuple[int, int]
"""The numbers of a template of a plan, and of a kind of result."""


def find_done(ledger: Ledger, listed_before: float, planned: Sequence[int]) -> dict[Alike, list[int]]:
    """Return the places among the ``planned`` rows whose jobs are done, by what they have in common.

    Of results from before ``listed_before`` the names are looked at, of others each file. Nothing is returned if a job
    has several places.
    """
    table, plans = ledger.table, ledger.plans.table
    ids = [plans.ids[row] for row in planned]
    if len(set(ids)) < len(ids):
        return {}
    rows = table.rows_with(ids)
    kinds, templates, groups = table.kinds, plans.templates, dict[Alike, list[int]]()
    for place, row in enumerate(rows):
        if (kind := kinds[row]) >= 0:
            groups.setdefault((templates[planned[place]], kind), []).append(place)
    alike = {key: places for key, places in groups.items() if _may_be_alike(ledger, key[0])}
    found = [place for places in alike.values() for place in places]
    doubtful = _doubtful(ledger, listed_before, [rows[place] for place in found])
    if doubtful:
        alike = {key: [place for place in places if rows[place] not in doubtful] for key, places in alike.items()}
    return {key: places for key, places in alike.items() if places}


def find_queued(
    ledger: Ledger, planned: Sequence[int], places: Iterable[int], claims_elsewhere: Callable[[], ClaimListing]
) -> Iterable[list[int]]:
    """Return the places whose jobs wait in a queue and were never begun anywhere, together those of one template.

    Their jobs have no parents; nobody has held, cancelled or resumed any of them.
    """
    table, plans, groups = ledger.table, ledger.plans.table, dict[int, list[int]]()
    for place in places:
        job = plans.ids[planned[place]]
        is_new = job in ledger.open_submission_of and job not in ledger.rerun_attempts and table.row(job) == NOBODY
        if is_new and not claims_elsewhere().studies_of(job):
            groups.setdefault(plans.templates[planned[place]], []).append(place)
    return [alike for template, alike in groups.items() if not _has_parents(ledger, template)]


def _has_parents(ledger: Ledger, template: int) -> bool:
    plan, number = ledger.plans.table.template(template)
    return plan.has_parents(number)


def _may_be_alike(ledger: Ledger, template: int) -> bool:
    """Whether what decides about the results of all jobs of a template is the same."""
    plan, number = ledger.plans.table.template(template)
    return not plan.has_parents(number) and not plan.has_own(number, "paths")


def _doubtful(ledger: Ledger, listed_before: float, rows: Sequence[int]) -> set[int]:
    """The rows whose results are not what the events say, at first sight, or that are to be done again."""
    table, times = ledger.table, ledger.table.times
    recent = [row for row in rows if times[row] >= listed_before]
    prefetch_stats(recent, lambda row: expected_paths(ledger.study, table, row))
    doubtful = {row for row in recent if not _is_whole(ledger.study, table, row)}
    doubtful.update(_unlisted(ledger.study, table, [row for row in rows if times[row] < listed_before]))
    for job, attempt in ledger.rerun_attempts.items():
        if table.attempts[table.row(job)] <= attempt:
            doubtful.add(table.row(job))
    return doubtful


def _unlisted(study: StudyFolder, table: JobTable, rows: Sequence[int]) -> Iterator[int]:
    """Yield the rows whose results have no folder in the store; of the store one folder is in memory at a time."""
    folders: dict[str, list[int]] = {}
    for row in rows:
        folders.setdefault(table.ids[row][:2], []).append(row)
    for part, expected in folders.items():
        names = list_names(f"{study.path}/store/{part}")
        yield from (row for row in expected if f"{table.ids[row]}.{table.attempts[row]}" not in names)


def expected_paths(study: StudyFolder, table: JobTable, row: int) -> list[str]:
    """Return the files that the result of a row should have."""
    folder = study.result_folder_text(table.ids[row], table.attempts[row])
    return [f"{folder}/{name}" for name, _, _ in table.expected_files(row)]


def _is_whole(study: StudyFolder, table: JobTable, row: int) -> bool:
    """Whether each file has the size and the time of change that it had when it was published."""
    folder = study.result_folder_text(table.ids[row], table.attempts[row])
    try:
        for name, size, mtime_ns in table.expected_files(row):
            status = os.stat(f"{folder}/{name}")  # noqa: PTH116
            if status.st_size != size or status.st_mtime_ns != mtime_ns:
                return False
    except OSError:
        # Whoever looks at this job alone tries it again.
        return False
    return True
