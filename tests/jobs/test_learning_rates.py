from __future__ import annotations

import pytest

from seedfold.jobs.errors import UsageError
from seedfold.jobs.learning_rates import linear_rate


def test_the_rate_follows_the_samples_of_a_step() -> None:
    assert linear_rate(1.25e-6, 256) == pytest.approx(3.2e-4)
    assert linear_rate(1.25e-6, 32, accumulate=8) == pytest.approx(3.2e-4)
    with pytest.raises(UsageError, match="a step of 1 batches of 0 has no learning rate"):
        linear_rate(1.0, 0)
