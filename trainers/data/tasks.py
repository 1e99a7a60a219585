"""The tasks of a job: ``task``, or all of ``tasks``, a mapping from names to tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seedfold.jobs.work import ConfigFailure

Task = Mapping[str, Any]


def read_tasks(config: Mapping[str, Any]) -> dict[str, Task]:
    """Return every task by its ``name``; raises ConfigFailure if there is none, or if two have the same name."""
    tasks = list((config.get("tasks") or {}).values()) or [config.get("task")]
    tasks_by_name: dict[str, Task] = {}
    for task in tasks:
        name = task_name(task)
        if name in tasks_by_name:
            raise ConfigFailure(f"tasks: two tasks are called {name}; give each another task.name")
        tasks_by_name[name] = task
    return tasks_by_name


def task_name(task: Task | None) -> str:
    """Return ``task.name``; raises ConfigFailure if there is no task or no name."""
    if not task or not task.get("name"):
        raise ConfigFailure("task.name: is missing; choose a task (task=NAME, or tasks=LIST for several)")
    return str(task["name"])
