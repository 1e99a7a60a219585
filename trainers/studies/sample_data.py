"""Sample data: a small data set on disk in exactly the format of a study, the same files every time.

The study NAME has a module ``seedfold.trainers.studies.NAME.sample_data``, which has the form of `StudySampleData`.
"""

from __future__ import annotations

import importlib.util
import json
import pkgutil
import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Protocol

from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.results.store.atomic_files import replace_file
from seedfold.trainers import studies

MARK_FILE = ".seedfold-data.json"
Progress = Callable[[int, int], None]


class StudySampleData(Protocol):
    """The form of the module of a study."""

    SIZES: Collection[str]
    REQUIRES: Collection[str]
    """Modules that are needed to write the files; the extra `seedfold[images]` installs them."""

    def folders(self, size: str) -> Sequence[str]:
        """Return the names of the folders that `write` fills."""

    def write(self, folder: Path, size: str, progress: Progress) -> None:
        """Write the files into ``folder``, which has none of these folders yet."""


def make(study: str, out: Path, size: str, progress: Progress = lambda done, total: None) -> None:
    """Write the sample data of a study into ``out``, a folder that is empty or holds the same study's sample data.

    Raises UsageError for an unknown study or size, or a folder with anything else in it; nothing is written then.
    """
    module = _import_study(study)
    if size not in module.SIZES:
        raise UsageError(f"--size {size}: {study} has {', '.join(module.SIZES)}")
    for needed in module.REQUIRES:
        if importlib.util.find_spec(needed) is None:
            raise UsageError(f"make-data: writing these files needs {needed}; pip install 'seedfold[images]'")
    old = _folders_to_replace(out, study)
    for name in old:
        shutil.rmtree(out / name, ignore_errors=True)
    with replace_file(out / MARK_FILE) as temporary:
        temporary.write_text(
            json.dumps({"study": study, "size": size, "folders": list(module.folders(size))}, indent=1)
        )
    module.write(out, size, progress)


def _import_study(name: str) -> StudySampleData:
    known = sorted(module.name for module in pkgutil.iter_modules(studies.__path__) if module.ispkg)
    if name not in known:
        raise UsageError(f"no sample data for {name!r}{did_you_mean(name, known)}; there is {', '.join(known)}")
    module: Any = importlib.import_module(f"{studies.__name__}.{name}.sample_data")
    return module  # type: ignore[no-any-return]


def _folders_to_replace(out: Path, study: str) -> list[str]:
    """Return the folders in ``out`` that an earlier call wrote; raises UsageError if there may be others among them."""
    if not out.exists():
        return []
    if not out.is_dir():
        raise UsageError(f"--out {out}: is a file; name a folder")
    try:
        mark = json.loads((out / MARK_FILE).read_text())
        marked_study, folders = mark["study"], [str(name) for name in mark["folders"]]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        if any(out.iterdir()):
            raise UsageError(
                f"--out {out}: is not empty, and make-data did not write it; name another folder"
            ) from None
        return []
    if marked_study != study or any(Path(name).name != name for name in folders):
        raise UsageError(f"--out {out}: holds sample data of {marked_study}; name another folder")
    return folders
