from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.jobs.work import Work
from seedfold.results.store.published import publish

STUDY_KEYS = ("study", "matrix", "derive", "stages", "run", "resources", "size")


@cache
def _compose_groups(groups: tuple[str, ...]) -> Any:
    from hydra import compose, initialize_config_module

    with initialize_config_module("seedfold.conf", version_base="1.3"):
        return compose("config", list(groups))


@pytest.fixture(scope="session")
def compose() -> Callable[..., dict[str, Any]]:
    """Return a function that composes our configuration with overrides and leaves out what only studies have.

    Hydra composes once per choice of groups; values are merged afterwards, which takes a tenth of the time.
    """
    from omegaconf import OmegaConf, open_dict

    def composed(*overrides: str) -> dict[str, Any]:
        values = [entry.removeprefix("+") for entry in overrides if _is_value(entry)]
        config = copy.deepcopy(_compose_groups(tuple(entry for entry in overrides if not _is_value(entry))))
        with open_dict(config):
            config.merge_with(OmegaConf.from_dotlist(values))
        plain: Any = OmegaConf.to_container(config, resolve=True)
        return {key: value for key, value in plain.items() if key not in STUDY_KEYS}

    return composed


def _is_value(override: str) -> bool:
    key = override.split("=")[0]
    return "." in key or key in ("seed", "fold")


@pytest.fixture
def work(tmp_path: Path) -> Callable[..., Work]:
    """Return a function that makes an attempt at a job: the same ``fit`` name shares a folder, staging is new."""
    attempts = 0

    def made(config: Mapping[str, Any], fit: str = "fit", **parts: Any) -> Work:
        nonlocal attempts
        attempts += 1
        staging = tmp_path / f"staging{attempts}"
        staging.mkdir()
        job = JobDescription("a" * 64, "study", "train", {}, config, (), Resources(), "run", "f" * 64)
        return Work(job, attempts, tmp_path / fit, staging, **parts)

    return made


@pytest.fixture(scope="session")
def results() -> Callable[[Work], dict[str, bytes]]:
    """Return a function that reads everything a job published, byte for byte."""
    return lambda work: {path.name: path.read_bytes() for path in sorted(work.staging.iterdir())}


@pytest.fixture
def published(tmp_path: Path) -> Callable[[Work], Work]:
    """Return a function that publishes what a job left; the work it returns has the published folder for staging."""

    def done(work: Work) -> Work:
        final = tmp_path / "store" / f"{work.staging.name}"
        record = {
            "parents": {},
            "resolved": {},
            "reads": {},
            "code": {},
            "provenance": {},
            "started": 0.0,
            "ended": 1.0,
        }
        publish(work.staging, final, work.description.to_dict() | record | {"attempt": work.attempt})
        return replace(work, staging=final)

    return done
