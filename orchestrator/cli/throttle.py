"""``seedfold throttle STUDY N``: at most N jobs of a study run at a time."""

from __future__ import annotations

from typing import Any

import click

from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import print_json, print_note, print_text
from seedfold.orchestrator.dispatch.throttle import throttle
from seedfold.orchestrator.ledger.layout import Root

_OFF = "off"


class _Limit(click.ParamType):
    name = "N|off"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == _OFF or isinstance(value, int):
            return value
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"{value!r} is neither a whole number of at least 1 nor off", param, ctx)
        return int(value)


@click.command()
@options.study
@click.argument("limit", metavar="N|off", type=_Limit())
@options.as_json
@options.common
def command(study: str, limit: int | str, as_json: bool, root: Root) -> None:
    """Let at most N jobs of a study run at a time, those that are submitted already and those to come; off lifts the
    limit. Jobs that run already go on.

    On a cluster the arrays that can run at the same time share the number, and each has at least one task.
    """
    number = limit if isinstance(limit, int) else None
    problems = throttle(root, study, number)
    if as_json:
        print_json({"study": study, "throttle": number})
    elif number is None:
        print_text(f"{study}: any number of jobs may run at a time")
    else:
        print_text(f"{study}: at most {count_noun(number, 'job')} at a time; to lift it: seedfold throttle {study} off")
    for problem in problems:
        print_note(problem)
