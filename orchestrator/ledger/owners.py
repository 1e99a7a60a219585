"""Whose files are whose, in a root that several users share."""

from __future__ import annotations

import os
import pwd
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from seedfold.orchestrator.ledger.ledger import Ledger


def owner_name(path: Path) -> str:
    """The name of the user who owns a file or folder; the number for a user whom this machine does not know."""
    uid = path.stat().st_uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def count_by_other_users(ledger: Ledger, jobs: Iterable[str]) -> dict[str, int]:
    """How many of the jobs other users have submitted, by user; only those that run or wait in a queue count."""
    found = filter(None, map(ledger.open_submission_of.get, jobs))
    return dict(Counter(owner_name(one.folder) for one in found if one.folder.stat().st_uid != os.getuid()))
