"""The stages of a study on a terminal: a bar for each, with its jobs by state, how long it has run and will run."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from seedfold.jobs.terminal_text import terminal_text
from seedfold.jobs.times_text import about_text
from seedfold.orchestrator.cli.console import Style, StyledLine, counts_text, duration_text, make_lines, wrap_lines
from seedfold.orchestrator.state.job_states import STATES
from seedfold.orchestrator.state.stage_progress import StageProgress


class _Kind(NamedTuple):
    """A part of a bar. Its character, or the ASCII one where that cannot be shown, tells it without colours."""

    states: tuple[str, ...]
    style: Style
    character: str
    ascii_character: str


_KINDS = (
    _Kind(("done",), "green", "█", "#"),
    _Kind(("failed", "blocked", "lost", "cancelled"), "red", "▚", "!"),
    _Kind(("running",), "cyan", "▒", "+"),
    _Kind(("paused",), "yellow", "▓", "="),
    _Kind(("submitted", "waiting"), "dim", "░", "."),
)
_BAR_WIDTHS = (24, 14)
_LONGEST_NAME = 16


def stage_lines(stages: Sequence[StageProgress], width: int) -> list[StyledLine]:
    """A line for each stage; if these are too wide for the terminal, one line for the bar and one for the words."""
    names = [_shortened(terminal_text(stage.stage)) for stage in stages]
    name_width = max(map(len, names), default=0)
    totals = [f"{stage.counts['done']} of {stage.jobs}" for stage in stages]
    total_width = max(map(len, totals), default=0)
    words = list(map(_words, stages))

    def heads(bar_width: int) -> list[StyledLine]:
        return [
            StyledLine.joined(
                StyledLine(f"{name:<{name_width}} "),
                *_bar(stage.counts, bar_width),
                StyledLine(f" {total:>{total_width}}"),
            )
            for name, total, stage in zip(names, totals, stages, strict=True)
        ]

    for bar_width in _BAR_WIDTHS:
        lines = [_with_words(head, word) for head, word in zip(heads(bar_width), words, strict=True)]
        if all(len(line.text) <= width for line in lines):
            return lines
    broad = heads(max(_BAR_WIDTHS[-1], min(_BAR_WIDTHS[0], width - name_width - total_width - 2)))
    lines = []
    for head, word in zip(broad, words, strict=True):
        lines += [head, *make_lines(*filter(None, [word and f"  {word}"]), style="dim")]
    return wrap_lines(lines, width)


def _with_words(head: StyledLine, words: str) -> StyledLine:
    return StyledLine.joined(*head.parts, StyledLine(f"  {words}", "dim")) if words else head


def _words(stage: StageProgress) -> str:
    counts = counts_text(stage.counts, (state for state in STATES if state != "done"))
    elapsed = "" if stage.elapsed_s is None else duration_text(round(stage.elapsed_s))
    left = "" if stage.left_s is None else f"{about_text(stage.left_s)} left"
    times = ", ".join(filter(None, (elapsed, left)))
    return "; ".join(filter(None, ("" if counts == "none" else counts, times)))


def _bar(counts: Mapping[str, int], width: int) -> list[StyledLine]:
    """Divide a bar among the kinds of states. Each kind that has a job has a character at least."""
    shares = _divide([sum(counts.get(state, 0) for state in kind.states) for kind in _KINDS], width)
    is_ascii = not _is_shown(_KINDS[0].character)
    return [
        StyledLine((kind.ascii_character if is_ascii else kind.character) * share, kind.style)
        for kind, share in zip(_KINDS, shares, strict=True)
        if share
    ]


def _divide(numbers: Sequence[int], width: int) -> list[int]:
    total = max(1, sum(numbers))
    shares = [max(1, number * width // total) if number else 0 for number in numbers]
    largest = max(range(len(numbers)), key=lambda index: numbers[index])
    shares[largest] += width - sum(shares)
    return shares


def _is_shown(character: str) -> bool:
    try:
        character.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
