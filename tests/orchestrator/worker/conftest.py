"""Workers are looked at, and killed, as they are: each is a Python of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from toyproject import Toy


@pytest.fixture
def toy(toy: Toy) -> Toy:
    """A project in which nothing has been launched."""
    return replace(toy, forked_worker=None)
