"""Checks the results of thousands of jobs, on file systems where each check may take a millisecond."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from typing import TypeVar

from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.results.store.passing_errors import try_again

T = TypeVar("T")
THREADS = 16
_BATCH_SIZE = 500
_SAMPLE_SIZE = 20
_SLOW_S = 100e-6
"""Seconds per item above which several threads are faster than one."""


class StoreListing:
    """Which results exist, by name: it lists the few folders of a store once instead of checking each result."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}

    def has_result(self, study: StudyFolder, job: str, attempt: int) -> bool:
        """Whether the folder of a published attempt exists."""
        folder, _, name = study.result_folder_text(job, attempt).rpartition("/")
        if folder not in self._names:
            self._names[folder] = list_names(folder)
        return name in self._names[folder]


class ClaimListing:
    """In which of some studies some jobs were ever begun: their ledgers are not read, only folders of claims listed."""

    def __init__(self, studies: Iterable[StudyFolder], jobs: Container[str]) -> None:
        self._studies, self.jobs = list(studies), jobs
        self._listed: dict[str, Mapping[str, list[StudyFolder]]] = {}

    def studies_of(self, job: str) -> list[StudyFolder]:
        """Return the studies in which an attempt at a job was begun when the folder of its claim was listed."""
        folder = job[:2]
        if folder not in self._listed:
            self._listed[folder] = self._list_folders_with(job)
        return self._listed[folder].get(job, [])

    def _list_folders_with(self, job: str) -> Mapping[str, list[StudyFolder]]:
        found = defaultdict[str, list[StudyFolder]](list)
        for study in self._studies:
            names = list_names(str(study.claim_file(job, 1).parent))
            for begun in {name.partition(".")[0] for name in names}:
                if begun in self.jobs:
                    found[begun].append(study)
        return found


def list_names(folder: str) -> frozenset[str]:
    """Return the names in a folder; none if there is no such folder."""
    try:
        return frozenset(try_again(lambda: os.listdir(folder), folder))  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()


def prefetch_stats(items: Iterable[T], paths_of: Callable[[T], Iterable[str]]) -> None:
    """Look up the paths of items, many at a time if that is slow, so that the kernel has them in its cache.

    A few items of each batch are timed first: if the kernel has them in its cache already, threads would only cost
    time.
    """

    def stat_paths(batch: Sequence[T]) -> None:
        for path in chain.from_iterable(map(paths_of, batch)):
            with suppress(OSError):
                os.stat(path)  # noqa: PTH116

    slow = [
        batch
        for batch in _batches(iter(items))
        if _time_call(stat_paths, batch[:_SAMPLE_SIZE]) > _SLOW_S * _SAMPLE_SIZE
    ]
    if slow:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(THREADS) as pool:
            pool.map(stat_paths, slow)


def _batches(items: Iterator[T]) -> Iterator[list[T]]:
    while batch := list(islice(items, _BATCH_SIZE)):
        yield batch


def _time_call(function: Callable[[Sequence[T]], None], sample: Sequence[T]) -> float:
    begin = time.perf_counter()
    function(sample)
    return time.perf_counter() - begin
