"""Snapshots of the code as a version took them that had its modules where they lay first."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from seedfold.jobs.moved_modules import oldest_name

_NAME = re.compile(r"\bseedfold(\.\w+)+")
_NOTHING_MOVED = "\nMOVED.clear()\n_CURRENT_NAMES.clear()\n_OLDEST_NAMES.clear()\n"


def move_back(package: Path) -> None:
    """Give all modules of a copy of Seedfold their oldest names, and have it know no others."""
    earlier = package.with_name("earlier")
    for file in sorted(file for file in package.rglob("*") if file.is_file()):
        target = earlier / _first_place(file.relative_to(package))
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".py":
            target.write_text(_NAME.sub(lambda found: oldest_name(found[0]), file.read_text()))
        else:
            shutil.copy(file, target)
    with (earlier / "jobs" / "moved.py").open("a") as table:
        table.write(_NOTHING_MOVED)
    shutil.rmtree(package)
    earlier.rename(package)


def _first_place(file: Path) -> Path:
    """Where a file of the package lay before anything moved."""
    module = file.parent if file.name == "__init__.py" or file.suffix != ".py" else file.with_suffix("")
    place = Path(*oldest_name(".".join(("seedfold", *module.parts))).split(".")[1:])
    return place.with_suffix(".py") if module != file.parent else place / file.name
