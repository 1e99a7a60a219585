"""Which keys of a composed configuration say what the study is, and how strictly the others are read.

Seedfold's own studies and programs of other people, started by ``@hydra.main``, differ in nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

TOP_LEVEL_STAGE_KEYS = ("matrix", "zip", "table", "exclude", "only", "derive", "after")


@dataclass(frozen=True)
class Conventions:
    """What top-level keys mean. Those in ``study_keys`` describe the study and are part of no job's configuration.

    ``resources_key`` is the one that holds what a job asks for. Interpolations below those in ``evaluated_once`` are
    evaluated when the study is read, not per point. ``chosen_once`` are other keys that cannot be axes.
    ``leaves_to_job`` leaves to the job, as Hydra does, what is missing, cannot be resolved yet, or depends on machine
    or moment.
    """

    study_keys: frozenset[str]
    evaluated_once: frozenset[str]
    resources_key: str
    chosen_once: frozenset[str] = frozenset()
    leaves_to_job: bool = False


STUDY_CONVENTIONS = Conventions(
    study_keys=frozenset(
        {*TOP_LEVEL_STAGE_KEYS, "study", "stages", "run", "resources", "identity", "hydra", "size", "let", "report"}
    ),
    evaluated_once=frozenset({"hydra", "stages", "matrix", "zip", "table", "exclude", "only", "after"}),
    resources_key="resources",
    chosen_once=frozenset({"experiment"}),
)

LAUNCHER_RESOURCES = "hydra.launcher.resources"
SWEEPER = "hydra.sweeper"
PROGRAM_CONVENTIONS = Conventions(
    study_keys=frozenset({LAUNCHER_RESOURCES, SWEEPER}),
    evaluated_once=frozenset({SWEEPER}),
    resources_key=LAUNCHER_RESOURCES,
    leaves_to_job=True,
)
"""Of a program that is not ours. Its configuration is its own: what we need of Hydra's node is kept beside it, under
keys with dots, which no configuration file can have."""
