"""A scheduler in this process, for studies of the toy project."""

from __future__ import annotations

import pytest
from scripted_scheduler import ScriptedScheduler, install


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> ScriptedScheduler:
    """A scheduler that does what the test says."""
    return install(monkeypatch)
