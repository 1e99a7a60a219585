"""Which keys of a composed configuration say what the study is, and how strictly the others are read.

Seedfold's own studies and programs of other people, started by ``@hydra.main``, differ in nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

TOP = ("matrix", "zip", "table", "exclude", "only", "derive", "after")


@dataclass(frozen=True)
class Conventions:
    """What top-level keys mean. Those in ``study`` describe the study and are part of no job's configuration.

    ``resources`` is the one that holds what a job asks for. Interpolations below those in ``unreferenced`` are
    evaluated when the study is read, not per point. ``chosen_once`` are other keys that cannot be axes. ``lazy``
    leaves to the job, as Hydra does, what is missing, cannot be resolved yet, or depends on machine or moment.
    """

    study: frozenset[str]
    unreferenced: frozenset[str]
    resources: str
    chosen_once: frozenset[str] = frozenset()
    lazy: bool = False


OURS = Conventions(
    study=frozenset({*TOP, "study", "stages", "run", "resources", "identity", "hydra", "size", "let", "report"}),
    unreferenced=frozenset({"hydra", "stages", "matrix", "zip", "table", "exclude", "only", "after"}),
    resources="resources",
    chosen_once=frozenset({"experiment"}),
)

LAUNCHER_RESOURCES = "hydra.launcher.resources"
SWEEPER = "hydra.sweeper"
PROGRAMS = Conventions(
    study=frozenset({LAUNCHER_RESOURCES, SWEEPER}),
    unreferenced=frozenset({SWEEPER}),
    resources=LAUNCHER_RESOURCES,
    lazy=True,
)
"""Of a program that is not ours. Its configuration is its own: what we need of Hydra's node is kept beside it, under
keys with dots, which no configuration file can have."""
