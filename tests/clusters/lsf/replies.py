"""What a command prints and how it ends, and the forms that LSF's texts share."""

from __future__ import annotations

import time
from dataclasses import dataclass

from clusters.lsf.options import BadOption

WIDTH = 79
INDENT = " " * 21


@dataclass(frozen=True)
class Reply:
    """Of one command."""

    out: str = ""
    err: str = ""
    code: int = 0


def refuse_usage(command: str, fault: BadOption, usage: str) -> Reply:
    complaint = f"{command}: {fault}\n" if str(fault) else ""
    return Reply(err=complaint + usage, code=255)


def stamp(when: float) -> str:
    """``Sun Nov 22 08:30:00``."""
    return time.strftime("%a %b %e %H:%M:%S", time.localtime(when))


def wrapped(text: str) -> str:
    """As LSF breaks its long lines: at a blank near the edge, else within the word."""
    lines = []
    for line in text.split("\n"):
        while len(line) > WIDTH:
            cut = line.rfind(" ", WIDTH - 12, WIDTH) + 1 or WIDTH
            lines.append(line[:cut].rstrip())
            line = INDENT + line[cut:]
        lines.append(line)
    return "\n".join(lines)
