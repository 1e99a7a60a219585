"""Sample data: a small data set on disk in exactly the format of a study, the same files every time.

The study NAME has a module ``seedfold.trainers.studies.NAME.sample_data``, which has the form of `StudySampleData`.
Its ``READ_BY`` names further experiments that read the same files.
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
_SHIPPED_WITH = {"breast_cancer": "scikit-learn", "digits": "scikit-learn"}
"""Experiments that read data which are installed with a package."""
Progress = Callable[[int, int], None]


class StudySampleData(Protocol):
    """The form of the module of a study."""

    SIZES: Collection[str]
    REQUIRES: Collection[str]
    """Modules that are needed to write the files; the extra `seedfold[images]` installs them."""

    READ_BY: Collection[str]
    """Other experiments that read these files."""

    def folders(self, size: str) -> Sequence[str]:
        """Return the names of the folders that `write` fills."""

    def write(self, folder: Path, size: str, progress: Progress) -> None:
        """Write the files into ``folder``, which has none of these folders yet."""


def make(experiment: str, out: Path, size: str, progress: Progress = lambda done, total: None) -> str:
    """Write sample data for an experiment into ``out``, a folder that is empty or holds the same study's sample data.

    Returns the study whose data they are. Raises UsageError for an unknown experiment or size, an experiment that needs
    no files, or a folder with anything else in it; nothing is written then.
    """
    study, module = _import_study(experiment)
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
    return study


def _import_study(experiment: str) -> tuple[str, StudySampleData]:
    """Return the study whose data an experiment reads, and its module."""
    if experiment in _SHIPPED_WITH:
        raise UsageError(f"{experiment} needs no files: it reads data that {_SHIPPED_WITH[experiment]} brings along")
    names = sorted(module.name for module in pkgutil.iter_modules(studies.__path__) if module.ispkg)
    modules: dict[str, Any] = {
        name: importlib.import_module(f"{studies.__name__}.{name}.sample_data") for name in names
    }
    for name, module in modules.items():
        if experiment == name or experiment in module.READ_BY:
            return name, module
    known = sorted([*names, *(other for module in modules.values() for other in module.READ_BY)])
    raise UsageError(f"no sample data for {experiment!r}{did_you_mean(experiment, known)}; there is {', '.join(known)}")


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
