"""Which keys of a composed configuration describe the study, and how strictly the others are read.

This is the only difference between Seedfold's studies and other people's programs that ``@hydra.main`` starts.
"""

from __future__ import annotations

from dataclasses import dataclass

SEARCH = "search"
"""The key of a study that searches a space; the settings of other studies have no such key."""
TOP_LEVEL_STAGE_KEYS = ("matrix", "zip", "table", "exclude", "only", "derive", "after")


@dataclass(frozen=True)
class Conventions:
    """What top-level keys mean. Those in ``study_keys`` describe the study and are not part of a job's configuration.

    ``resources_key`` is the one that holds what a job asks for. Interpolations below those in ``evaluated_once`` are
    evaluated when the study is read, not per point. ``chosen_once`` are other keys that cannot be axes.
    With ``leaves_to_job`` the job resolves, as with Hydra, values that are missing, cannot be resolved yet, or depend
    on the machine or the time.
    """

    study_keys: frozenset[str]
    evaluated_once: frozenset[str]
    resources_key: str
    chosen_once: frozenset[str] = frozenset()
    leaves_to_job: bool = False


STUDY_CONVENTIONS = Conventions(
    study_keys=frozenset(
        {
            *TOP_LEVEL_STAGE_KEYS,
            *("study", "stages", "run", "resources", "identity", "hydra", "size", "let", "report", "order", "notify"),
            "fuse",
            SEARCH,
        }
    ),
    evaluated_once=frozenset({"hydra", "stages", "matrix", "zip", "table", "exclude", "only", "after", SEARCH}),
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
"""The conventions for somebody's own program. Its configuration may have any key: so the keys of Hydra's node that we
need are kept under keys with dots, which no configuration file can have."""
