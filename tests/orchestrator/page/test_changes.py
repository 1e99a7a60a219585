"""What those hear who listen for changes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from toyproject import WAIT_S

from seedfold.orchestrator.page import changes as module
from seedfold.orchestrator.page.changes import Changes


def test_a_change_is_told_again_when_the_study_is_looked_at_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise who asks at once, and gets what was seen before the change, would never hear that it is old."""
    studies: Any = SimpleNamespace(kept=lambda: [SimpleNamespace(name="toy", rest_s=lambda: 0.02)])
    changes = Changes(studies)
    looks = iter([{}])
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(changes, "_read_signatures", lambda: next(looks, {"toy": (("plan", 1, 1),)}))
    assert asyncio.run(asyncio.wait_for(hear(changes, 2), WAIT_S)) == ['event: changed\ndata: {"study": "toy"}\n\n'] * 2


async def hear(changes: Changes, count: int) -> list[str]:
    """The first events; then the streams of all listeners are ended."""
    heard = []
    async for text in changes.events():
        if text.startswith("event:"):
            heard.append(text)
            if len(heard) == count:
                changes.close()
    return heard
