"""Checks, before jobs are started, that a LightningModule is used as its author means it. Nothing is imported.

Classes are found by reading the source files of the user's own modules, as in `target_check`. What only an import could
tell, the job itself refuses.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError
from seedfold.jobs.fusing import FIT_PREDICT_RUN
from seedfold.jobs.stages import LIGHTNING_RUN
from seedfold.orchestrator.code.source_files import find_module_paths

_UNUSED_KEYS = ("task", "tasks", "loss", "optimizer", "schedule", "sampling", "augment")
_TRAINS_ITSELF = ("training_step", "configure_optimizers")
_MASKS_RUN = "seedfold.trainers.stages.fit_masks.run"


def refuse_misused_modules(jobs: Iterable[JobDescription], folder: Path) -> None:
    """Raise UsageError, which names the key, for a module or a part of the configuration that would not be used."""
    seen: set[tuple[str, ...]] = set()
    for job in jobs:
        if job.run not in (LIGHTNING_RUN, FIT_PREDICT_RUN, _MASKS_RUN):
            continue
        config = job.config
        unused = [key for key in _UNUSED_KEYS if config.get(key)]
        model, source = _target(config.get("model")), _target(_part(config.get("task"), "source"))
        if (job.run, model, source, *unused) in seen:
            continue
        seen.add((job.run, model, source, *unused))
        reason = _find_misuse(job.run, model, source, unused, folder)
        if reason is not None:
            raise UsageError(reason)


def _find_misuse(run: str, model: str, source: str, unused: list[str], folder: Path) -> str | None:
    if run == LIGHTNING_RUN:
        if not unused:
            return None
        key = unused[0]
        return (
            f"{key}: is not used where a LightningModule trains itself, which it does where the study has data;"
            f" leave {key} out, or data"
        )
    if trains_itself(model, folder):
        return (
            f"model: {model} is a LightningModule that trains itself: give its loaders as data (or write run: lightning"
            " if it has its own); task, loss and optimizer are for torch modules that Seedfold trains"
        )
    if _is_lightning(source, "LightningDataModule", folder):
        return f"task.source: {source} is a LightningDataModule: give it as data, with a LightningModule as model"
    return None


def _part(node: Any, key: str) -> Any:
    return node.get(key) if isinstance(node, Mapping) else None


def _target(node: Any) -> str:
    return str(_part(node, "_target_") or "")


def trains_itself(target: str, folder: Path) -> bool:
    """Whether a class is known to be a LightningModule that says how it is trained."""
    if not _is_lightning(target, "LightningModule", folder):
        return False
    return any(
        isinstance(node, ast.FunctionDef) and node.name in _TRAINS_ITSELF
        for kind in _classes(target, folder)
        for node in kind.body
    )


def _is_lightning(target: str, base: str, folder: Path) -> bool:
    return any(ast.unparse(one).split(".")[-1] == base for kind in _classes(target, folder) for one in kind.bases)


def _classes(target: str, folder: Path) -> list[ast.ClassDef]:
    """The definition of a class, and those of its bases in the same file; nothing if it is not found."""
    module, _, name = target.rpartition(".")
    file = _find_file(module, folder) if module else None
    if file is None:
        return []
    defined = {node.name: node for node in _parse(file).body if isinstance(node, ast.ClassDef)}
    found: list[ast.ClassDef] = []
    names = [name]
    while names:
        kind = defined.pop(names.pop(), None)
        if kind is not None:
            found.append(kind)
            names += [ast.unparse(base) for base in kind.bases]
    return found


def _find_file(module: str, folder: Path) -> Path | None:
    top, *rest = module.split(".")
    for path in find_module_paths(top, folder) or []:
        place = path.joinpath(*rest)
        for file in (place, place.with_suffix(".py"), place / "__init__.py"):
            if file.suffix == ".py" and file.is_file():
                return file
    return None


@cache
def _parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))
