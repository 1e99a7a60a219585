"""Machine-learning experiment matrices, done once.

The front door for notebooks: ``import seedfold as sf``, then ``sf.study("digits")``. Importing this module imports
nothing else; see `seedfold.orchestrator.study.Study` for what a study can be asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seedfold.orchestrator.study import Study

__all__ = ["study"]


def study(name: str, root: str | Path | None = None, *, config_dirs: Sequence[str | Path] = ()) -> Study:
    """Open a study by its name, which need not have been launched yet.

    ``root`` is found as the command finds it: SEEDFOLD_ROOT, the site file, the nearest marked folder upwards,
    ``./runs``. ``config_dirs`` are folders with a configuration of your own, as in ``--config-dir``. Raises
    `seedfold.jobs.errors.UsageError` for a name that cannot be a folder's.
    """
    from seedfold.orchestrator.study import Study

    return Study.open(name, root, config_dirs)
