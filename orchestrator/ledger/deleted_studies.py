"""Studies that are being deleted: the folder is renamed at once, then emptied.

``.deleted-NAME-HEX`` beside the other studies is what is left of study NAME. No command takes it for a study. If the
process that deletes it is killed, the same command goes on with it.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.ledger.kept_columns import kept_files
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.results.store.passing_errors import try_again

_REST = re.compile(r"\.deleted-(.+)-[0-9a-f]{12}")


def put_aside(study: StudyFolder) -> Path:
    """Rename the folder of a study, so that no command finds it any more; return its new path."""
    aside = study.path.with_name(f".deleted-{study.name}-{os.urandom(6).hex()}")
    study.path.rename(aside)
    for kept in kept_files(study):
        # In the home folder of this user.
        kept.unlink(missing_ok=True)
    return aside


def find_rests(root: Root) -> list[tuple[str, Path]]:
    """Return what is left of studies whose deletion was interrupted: the name of the study and the folder."""
    try:
        names = sorted(try_again(lambda: os.listdir(root.path), root.path))  # noqa: PTH208
    except FileNotFoundError:
        return []
    found = [(_REST.fullmatch(name), root.path / name) for name in names]
    return [(match[1], path) for match, path in found if match]


def interrupted_lines(root: Root) -> list[str]:
    """Say which deletions were interrupted, one line each."""
    names = dict.fromkeys(name for name, _ in find_rests(root))
    return [f"study {name} is half deleted; to go on: seedfold delete {name} --yes" for name in names]


def remove_rest(folder: Path) -> None:
    """Remove what is left of a study. Raises UnreachableError if some of it cannot be removed now."""
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise UnreachableError(
            f"{error.filename or folder}: {error.strerror}; the study is gone, and the rest of its files is in"
            f" {folder}: run the command again to remove it"
        ) from error
