"""What tab completion offers: names of studies, stages, axes and their values, experiments of study files.

Nothing here writes. What cannot be read is not offered: a shell has no place for an error while somebody types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import click

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import SeedfoldError
from seedfold.orchestrator.ledger.layout import Root, find_root

Complete = Callable[[click.Context, click.Parameter | None, str], list[str]]


def _offer(find: Callable[[click.Context, str], Iterable[str]]) -> Complete:
    """Make what click asks for what can stand at a place, of a function that returns all that could."""

    @wraps(find)
    def complete(context: click.Context, parameter: click.Parameter | None, incomplete: str) -> list[str]:
        try:
            return [text for text in dict.fromkeys(find(context, incomplete)) if text.startswith(incomplete)]
        except (SeedfoldError, OSError):
            return []

    return complete


@_offer
def studies(context: click.Context, incomplete: str) -> Iterable[str]:
    """The studies of the root."""
    return (folder.name for folder in _root(context).study_folders())


@_offer
def stages(context: click.Context, incomplete: str) -> Iterable[str]:
    """The stages of the study, or of all studies."""
    return (job.stage for job in _jobs(context))


@_offer
def axes(context: click.Context, incomplete: str) -> Iterable[str]:
    """The axes of the study, or of all studies."""
    return (name for job in _jobs(context) for name in job.axes)


@_offer
def conditions(context: click.Context, incomplete: str) -> Iterable[str]:
    """``AXIS=`` for each axis, and ``AXIS=VALUE`` for each value when the axis is typed."""
    return _assignments((job.axes for job in _jobs(context)), incomplete)


@_offer
def job_words(context: click.Context, incomplete: str) -> Iterable[str]:
    """The words of an address: stages, and the axes with their values."""
    jobs = list(_jobs(context))
    return [*(job.stage for job in jobs), *_assignments((job.axes for job in jobs), incomplete)]


@_offer
def jobs_and_studies(context: click.Context, incomplete: str) -> Iterable[str]:
    """The studies, and the words of an address."""
    return [*studies(context, None, incomplete), *job_words(context, None, incomplete)]


@_offer
def overrides(context: click.Context, incomplete: str) -> Iterable[str]:
    """``experiment=NAME`` for the study files of Seedfold and of ``--config-dir``."""
    from seedfold import conf

    folders = [Path(str(conf.__path__[0])), *(context.params.get("config_dirs") or ())]
    return (f"experiment={file.stem}" for folder in folders for file in sorted((folder / "experiment").glob("*.yaml")))


def _assignments(points: Iterable[Mapping[str, Any]], incomplete: str) -> Iterator[str]:
    from seedfold.orchestrator.state.axes_text import axes_text

    typed_axis, is_assignment, _ = incomplete.partition("=")
    for point in points:
        if not is_assignment:
            yield from (f"{axis}=" for axis in point)
        elif typed_axis in point:
            yield axes_text({typed_axis: point[typed_axis]})


def _root(context: click.Context) -> Root:
    root = context.params.get("root")
    return root if isinstance(root, Root) else find_root(None)


def _jobs(context: click.Context) -> Iterator[JobDescription]:
    """The current jobs of the study that is named, or of all studies that can be read."""
    from seedfold.orchestrator.ledger.damaged_files import DamagedFileError
    from seedfold.orchestrator.ledger.plans import Plans

    # Click takes no word for the study as long as an option behind it has no value.
    words = {context.params.get("study"), *context.args}
    folders = list(_root(context).study_folders())
    for folder in [one for one in folders if one.name in words] or folders:
        try:
            yield from Plans(folder).current_jobs.values()
        except DamagedFileError:
            continue
