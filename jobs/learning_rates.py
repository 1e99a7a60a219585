"""Learning rates that follow the size of a batch."""

from __future__ import annotations

from seedfold.jobs.derivation import derivation
from seedfold.jobs.errors import UsageError


@derivation
def linear_rate(per_sample: float, batch_size: int, accumulate: int = 1) -> float:
    """Return ``per_sample`` times the samples of an optimizer step, on all devices together (Goyal et al. 2017).

    Raises UsageError if a step has no samples.
    """
    if batch_size < 1 or accumulate < 1:
        raise UsageError(
            f"a step of {accumulate} batches of {batch_size} has no learning rate; both have to be at least 1"
        )
    return float(per_sample) * batch_size * accumulate
