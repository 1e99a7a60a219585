"""``seedfold throttle STUDY N``: at most N jobs of a study run at a time."""

from __future__ import annotations

import click

from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import print_json, print_note, print_text
from seedfold.orchestrator.dispatch.throttle import throttle
from seedfold.orchestrator.ledger.layout import Root

_OFF = "off"


def _to_limit(context: click.Context, parameter: click.Parameter, value: str) -> int | None:
    if value == _OFF:
        return None
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter(f"{value!r} is neither a whole number of at least 1 nor off", context, parameter)
    return int(value)


@click.command()
@options.study
@click.argument("limit", metavar="N|off", callback=_to_limit)
@options.as_json
@options.common
def command(study: str, limit: int | None, as_json: bool, root: Root) -> None:
    """Let at most N jobs of a study run at a time, those that are submitted already and those to come; off lifts the
    limit. Jobs that run already go on.

    On a cluster the arrays that can run at the same time share the number, and each has at least one task.
    """
    problems = throttle(root, study, limit)
    if as_json:
        print_json({"study": study, "throttle": limit})
    elif limit is None:
        print_text(f"{study}: any number of jobs may run at a time")
    else:
        print_text(f"{study}: at most {count_noun(limit, 'job')} at a time; to lift it: seedfold throttle {study} off")
    for problem in problems:
        print_note(problem)
