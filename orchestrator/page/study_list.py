"""The list of studies, as `seedfold ls --json` prints it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.page.kept_studies import KeptStudies
from seedfold.orchestrator.page.late_values import LateValue
from seedfold.orchestrator.state.overview import JobView
from seedfold.orchestrator.state.study_list import size_on_disk, summarise_study

_WAIT_S = 0.2
_SIZES_EVERY_S = 60.0
_REST_PER_LOOK = 20.0


class StudyList:
    """The studies of a root. Sizes on disk take long to add up, so they are looked at less often than the jobs."""

    def __init__(self, studies: KeptStudies, when_changed: Callable[[str], None]) -> None:
        self._studies = studies
        self._when_changed = when_changed
        self._sizes: dict[Path, LateValue[int]] = {}
        self._costs: dict[Path, float] = {}
        """How many seconds it took to add up the sizes of each study."""

    def to_json(self) -> list[dict[str, Any]]:
        """Return the studies by name; ``bytes`` is None as long as the size of one is not known."""
        return [self._summary(folder) for folder in self._studies.root.study_folders()]

    def _summary(self, folder: StudyFolder) -> dict[str, Any]:
        return summarise_study(folder, lambda: self._views(folder.name), self._size).to_json()

    def _views(self, name: str) -> Sequence[JobView]:
        try:
            return self._studies.get(name).snapshot().views
        except HTTPException as error:
            raise UnreachableError(error.detail) from error

    def _size(self, path: Path) -> int | None:
        if path not in self._sizes:
            self._sizes[path] = LateValue(lambda: self._when_changed(path.name))
        every = max(_SIZES_EVERY_S, _REST_PER_LOOK * self._costs.get(path, 0.0))
        size, _ = self._sizes[path].get(int(time.time() / every), lambda: self._read_size(path), _WAIT_S)
        return size

    def _read_size(self, path: Path) -> int:
        began = time.monotonic()
        size = size_on_disk(path)
        self._costs[path] = time.monotonic() - began
        return size
