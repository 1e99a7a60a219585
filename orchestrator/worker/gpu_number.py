"""How many jobs should share a GPU: pure functions of what was measured.

A number grows step by step, at most twofold, because only what was measured side by side shows what the next job adds.
"""

from __future__ import annotations

BUSY_PERCENT = 85.0
"""A GPU that is busy for this part of the time takes no more jobs: they would only wait for each other."""
_MARGIN = 0.15
_LEAST_MARGIN_BYTES = 512 * 1024**2
"""A process on a GPU takes some memory before its first tensor, and allocators take it in large pieces."""


def needed_bytes(largest: int) -> int:
    """Return the memory to keep free for a job of which the largest like it took ``largest`` bytes."""
    return largest + max(int(largest * _MARGIN), _LEAST_MARGIN_BYTES)


def fitting_jobs(total: int, others: int, largest: int) -> int:
    """Return how many jobs fit into a GPU of ``total`` bytes of which ``others`` take some; at least one.

    ``largest`` is what the largest of such jobs took. A job that does not fit at all says so itself.
    """
    return max(1, (total - others) // needed_bytes(largest))


def next_number(running: int, fitting: int, busy_percent: float | None, most: int) -> int:
    """Return how many jobs may share a GPU, after ``running`` of them kept it busy for ``busy_percent`` of the time.

    At most ``fitting`` and ``most``; no more than are ``running`` if it is not known how busy the GPU was. Never fewer
    for being busy: jobs that have begun are not stopped for it.
    """
    wanted = running
    if busy_percent is not None and busy_percent < BUSY_PERCENT:
        in_proportion = int(running * BUSY_PERCENT / max(busy_percent, 1.0))
        wanted = min(2 * running, max(running + 1, in_proportion))
    return max(1, min(wanted, fitting, most))
