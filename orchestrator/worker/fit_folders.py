"""The folder of a fit: what an attempt goes on from there, and which code trained the weights in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from seedfold.orchestrator.ledger.atomic_files import create_once, write_atomically
from seedfold.orchestrator.ledger.layout import CLEARED_MARK, StudyFolder

_TRAINED = "trained.json"
"""In the folder of a fit: the ``code`` that trained its weights, by the digest of the record."""
_KEPT = ("log.", "staging.", CLEARED_MARK)


def clear_for_rerun(folder: Path, intent_file: Path) -> None:
    """Remove what earlier attempts kept to go on from: a job that is done again begins at its beginning.

    It is done once for a submission, whose ``intent_file`` is older than the mark that is left: jobs that share a fit
    train it once, and a later attempt goes on from what this rerun has kept. The mark comes last, so that a kill in
    between leads to the same end.
    """
    mark = folder / CLEARED_MARK
    if mark.exists() and mark.stat().st_mtime_ns >= intent_file.stat().st_mtime_ns:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.iterdir()):
        if not path.name.startswith(_KEPT):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    mark.touch()


def note_training(folder: Path, code: str) -> None:
    """Say which code trained the weights in a folder."""
    write_atomically(folder / _TRAINED, [json.dumps({"code": code})])


def find_training_code(folder: Path, study: StudyFolder) -> str | None:
    """Return the digest of the record of the code that trained a fit; None where nobody said.

    If another study trained it, ``study`` gets a copy of the record.
    """
    try:
        digest: str = json.loads((folder / _TRAINED).read_text(encoding="utf-8"))["code"]
        source = StudyFolder(folder.parents[2]).code_record_file(digest)
        if source != study.code_record_file(digest):
            create_once(study.code_record_file(digest), source.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return digest
