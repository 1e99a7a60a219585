"""The run function of an imported job. It only raises: the predictions were made elsewhere."""

from __future__ import annotations

from seedfold.jobs.errors import UsageError
from seedfold.jobs.work import Work

IMPORT_RUN = f"{__name__}.run"


def run(work: Work) -> None:
    """Raise UsageError, because only `seedfold import` can write these predictions."""
    raise UsageError(f"{work.description.short_id}: was imported, so there is nothing to run; seedfold import it again")
