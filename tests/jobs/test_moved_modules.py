from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import seedfold
from seedfold.jobs.moved_modules import MOVED, NAMES_BETWEEN, current_name, oldest_name

PACKAGE = Path(seedfold.__file__).parent


def stands(module: str) -> bool:
    """Whether a module of Seedfold has a file."""
    place = PACKAGE.joinpath(*module.split(".")[1:])
    return place.with_suffix(".py").exists() or (place / "__init__.py").exists()


def test_each_module_that_moved_is_where_it_is_said_to_be_and_its_old_name_is_free() -> None:
    assert [new for new in MOVED.values() if not stands(new)] == []
    assert [old for old in MOVED if stands(old)] == []
    assert len(set(MOVED.values())) == len(MOVED)


@pytest.mark.parametrize("old", sorted(MOVED))
def test_names_in_a_module_follow_it_there_and_back(old: str) -> None:
    assert current_name(f"{old}.Thing") == f"{MOVED[old]}.Thing"
    assert oldest_name(f"{MOVED[old]}.Thing") == f"{old}.Thing"


@pytest.mark.parametrize("between", sorted(NAMES_BETWEEN))
def test_a_name_that_a_module_had_in_between_is_known_too(between: str) -> None:
    assert not stands(between)
    assert current_name(f"{between}.Thing") == f"{NAMES_BETWEEN[between]}.Thing"
    assert oldest_name(f"{between}.Thing") == oldest_name(f"{NAMES_BETWEEN[between]}.Thing")
    assert oldest_name(f"{between}.Thing") in {f"{old}.Thing" for old in MOVED}


def test_names_that_never_moved_stay() -> None:
    for name in ("seedfold.trainers.data.table.Table", "seedfold.results.store.published.publish", "mine.thing.Class"):
        assert current_name(name) == name


def test_both_names_are_one_module() -> None:
    old = importlib.import_module("seedfold.orchestrator.lsf.plugin")
    new = importlib.import_module("seedfold.orchestrator.schedulers.lsf.submitit_plugin")
    assert old is new
    assert new.__spec__ is not None
    assert new.__spec__.name == new.__name__ == "seedfold.orchestrator.schedulers.lsf.submitit_plugin"


def test_an_old_name_that_never_was_is_told_as_python_tells_it() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'seedfold\.trainers\.nothing'"):
        importlib.import_module("seedfold.trainers.nothing")


def test_installed_plugins_are_named_as_code_of_any_version_names_them() -> None:
    """submitit looks for them in every task, also where the task imports an older snapshot of the code."""
    modules = [plugin.module for plugin in entry_points(group="submitit") if plugin.module.startswith("seedfold.")]
    assert modules
    assert modules == [oldest_name(module) for module in modules]
