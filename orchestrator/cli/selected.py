"""Says which jobs a command has selected, before it acts on them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.cli.console import print_text
from seedfold.orchestrator.settings.selection import Selection, TellSelected


def say_selected(selection: Selection, action: str) -> TellSelected | None:
    """Return what prints how many jobs are selected for an ``action``; None where all jobs of a study are.

    Jobs that do not meet the conditions themselves are computed from those that do.
    """
    if not selection.text:
        return None

    def say(jobs: Sequence[JobDescription]) -> None:
        selected = [job for job in jobs if selection.matches(job)]
        stages = dict.fromkeys(job.stage for job in selected)
        of_stages = f" of {', '.join(stages)}" if len(stages) > 1 else ""
        more = len(jobs) - len(selected)
        following = f"; {count_noun(more, 'more is', 'more are')} computed from them" if more else ""
        print_text(f"to {action}: {count_noun(len(selected), 'job')}{of_stages}, by {selection.text}{following}")
        sys.stdout.flush()

    return say
