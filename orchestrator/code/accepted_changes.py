"""Changes of code that, as a person has said, make no difference: ``<root>/<study>/code/accepted/DIGEST.json``.

A file says who accepted what and when: pairs of digests of the same source file that compute the same numbers. It is
created once and never changed. The same pairs have the same name, so that a command which is repeated after a crash
finds its own file.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from seedfold.orchestrator.ledger.atomic_files import create_once
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.plans import user_name


@dataclass(frozen=True, slots=True, order=True)
class AcceptedChange:
    """A source file whose digests ``before`` and ``after`` compute the same."""

    file: str
    before: str
    after: str


class AcceptedChanges:
    """What has been accepted in a study. Digests that are linked by accepted changes count as one."""

    def __init__(self, study: StudyFolder) -> None:
        self._same: dict[tuple[str, str], str] = {}
        for path in sorted(study.accepted_changes_folder.glob("*.json")):
            for change in json.loads(path.read_text(encoding="utf-8"))["changes"]:
                self._join(AcceptedChange(**change))

    def _join(self, change: AcceptedChange) -> None:
        before, after = self.representative(change.file, change.before), self.representative(change.file, change.after)
        if before != after:
            self._same[change.file, max(before, after)] = min(before, after)

    def representative(self, file: str, digest: str) -> str:
        """Return the digest that stands for all that count as one with this one."""
        while (file, digest) in self._same:
            digest = self._same[file, digest]
        return digest


def accept_changes(study: StudyFolder, changes: Iterable[AcceptedChange]) -> None:
    """Record that these changes make no difference; when this returns it is on disk."""
    listed = [asdict(change) for change in sorted(set(changes))]
    if listed:
        digest = hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:16]
        record = {"user": user_name(), "host": os.uname().nodename, "time": round(time.time(), 3), "changes": listed}
        create_once(study.accepted_changes_folder / f"{digest}.json", json.dumps(record, indent=1))
