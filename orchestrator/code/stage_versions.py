"""Which stages of Seedfold compute other numbers than in an earlier release.

A result is compared with what would be computed today. Seedfold's own files do not count for that: an update would make
every study stale. A change of the numbers is declared here instead, in the commit that makes it. Results that were
recorded before a stage stood in this table have version 1, and so do stages that are not in it.
"""

from __future__ import annotations

from collections.abc import Mapping

from seedfold.jobs.moved_modules import current_name

STAGE_VERSIONS: Mapping[str, int] = {
    # Costs of models that were trained for a ratio are those at the estimate of the original model.
    "seedfold.results.prevalence.analyse.run": 3,
    # Estimates below 1e-12 count as zero.
    "seedfold.results.prevalence.estimate.run": 2,
    # Axes of amplitudes, not of masks, are swapped in some volumes; volumes with empty masks are left out.
    "seedfold.trainers.studies.dark_side.infer_stage.run": 2,
    "seedfold.trainers.studies.dark_side.mean_masks_stage.run": 2,
    "seedfold.trainers.studies.dark_side.slices_stage.run": 2,
    # A class that is absent from a batch adds nothing to losses of masks.
    "seedfold.trainers.stages.fit_masks.run": 2,
    # What is chosen on validation rows, and the verdict on passes, go by the mean of the folds.
    "seedfold.results.stages.blend.run": 2,
    "seedfold.results.stages.submission.run": 2,
    # Ensembles go up to the fold with the most members.
    "seedfold.results.stages.top_heads.run": 3,
}
"""The version of a stage's numbers, from 2 on, by the dotted name of its function, such as
``seedfold.trainers.stages.fit_predict.run``."""


FIRST_VERSION = 1


def stages_of(run: str) -> dict[str, int]:
    """Return the version of the numbers of a stage's function by its name today; nothing if it is not Seedfold's."""
    name = current_name(run)
    return {name: STAGE_VERSIONS.get(name, FIRST_VERSION)} if name.startswith("seedfold.") else {}
