"""The tasks that a job is about: ``task``, or all of ``tasks``, a mapping from names to tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seedfold.jobs.work import ConfigFailure

Task = Mapping[str, Any]


def tasks_of(config: Mapping[str, Any]) -> dict[str, Task]:
    """Return every task by its ``name``; raises ConfigFailure where there is none, or two have one name."""
    given = list((config.get("tasks") or {}).values()) or [config.get("task")]
    named: dict[str, Task] = {}
    for task in given:
        name = task_name(task)
        if name in named:
            raise ConfigFailure(f"tasks: two are called {name}; names are task.name")
        named[name] = task
    return named


def task_name(task: Task | None) -> str:
    """Return ``task.name``; raises ConfigFailure where there is no task or no name."""
    if not task or not task.get("name"):
        raise ConfigFailure("task.name: is missing; choose a task (task=NAME, or tasks=LIST for several)")
    return str(task["name"])
