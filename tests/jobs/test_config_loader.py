"""Compositions that share what is merged are those that Hydra makes one by one."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from config_trees import node_facts, trees, write, yaml_text
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from hydra.types import RunMode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seedfold.jobs import config_loader
from seedfold.jobs.compose import Composer
from seedfold.jobs.config_loader import CachingLoader


def composed(loader: ConfigLoaderImpl, *overrides: str) -> list[Any] | str:
    try:
        config = loader.load_configuration("config", list(overrides), RunMode.RUN, from_shell=False)
    except (HydraException, OmegaConfBaseException) as error:
        return type(error).__name__
    # What no program has said is in both as Hydra makes it.
    return [(place, *rest) for place, *rest in node_facts(config, ()) if place[:2] != ("hydra", "runtime")]


def compare(folder: Path, files: dict[str, str], chosen: Sequence[tuple[str, str]]) -> None:
    """Compose each choice with a loader that remembers the ones before, and with Hydra's own."""
    write(folder, files)
    search_path = create_config_search_path(str(folder))
    loader, peer = CachingLoader(copy.deepcopy(search_path)), ConfigLoaderImpl(search_path)
    for left, right in chosen:
        overrides = (f"left={left}", f"right={right}")
        assert composed(loader, *overrides) == composed(peer, *overrides)


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    many=st.sampled_from([1, 8]),
    files=trees(),
    chosen=st.permutations([(left, right) for left in ("one", "two") for right in ("one", "two")]),
)
def test_composes_what_hydra_composes(many: int, files: dict[str, str], chosen: list[tuple[str, str]]) -> None:
    Composer()
    with tempfile.TemporaryDirectory() as folder, patch.object(config_loader, "MANY_FILES", many):
        compare(Path(folder), files, [*chosen, chosen[0]])


@pytest.mark.parametrize(
    ("m", "package"), [("${a}", "m"), ("${oc.create:${a}}", "m"), ({"w": "${a}", "v": "${m.w}"}, "m.v")]
)
def test_what_is_merged_onto_an_interpolation_depends_on_what_it_stands_for(
    tmp_path: Path, m: object, package: str
) -> None:
    Composer()
    order = ["_self_", {"right": "one"}, {"left": "one"}]
    files = {"config": yaml_text({"defaults": order, "a": {"x": 1}, "m": m})}
    files |= {f"right/{name}": f"# @package a\nx: {value}" for name, value in (("one", 5), ("two", 7))}
    files |= {f"left/{name}": f"# @package {package}\ny: 2" for name in ("one", "two")}
    compare(tmp_path, files, [("one", "one"), ("one", "two"), ("two", "one")])


def test_parts_of_a_key_are_merged_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Composer()
    monkeypatch.setattr(config_loader, "MANY_FILES", 3)
    start = {"x": {"deep": 1, "other": [1]}, "y": None, "z": "${.x.deep}"}
    files = {"config": yaml_text({"defaults": ["_self_", {"right": "one"}, {"left": "one"}], "m": start})}
    files |= {f"right/{name}": f"# @package m.x\ndeep: {value}\nnew: 1" for name, value in (("one", 5), ("two", 7))}
    files |= {f"left/{name}": f"# @package m\nw: {{}}\ny: 3\nx: {{deep: '{name}'}}" for name in ("one", "two")}
    compare(tmp_path, files, [("one", "one"), ("one", "two"), ("two", "one")])


def test_other_folders_have_other_files_of_the_same_name(tmp_path: Path) -> None:
    Composer()
    write(tmp_path / "main", {"config": "defaults: [left: one]\n", "left/one": "x: 1"})
    for value in (2, 3):
        write(tmp_path / f"more{value}", {"left/new": f"x: {value}"})
    loader = CachingLoader(create_config_search_path(str(tmp_path / "main")))
    for value in (2, 3):
        overrides = ["left=new", f"hydra.searchpath=[file://{tmp_path}/more{value}]"]
        assert loader.load_configuration("config", overrides, RunMode.RUN, from_shell=False).left.x == value


@pytest.mark.parametrize("experiment", ["prevalence_shifts", "mgmt"])
def test_our_studies_are_what_hydra_composes(experiment: str) -> None:
    loader = Composer()._loader
    peer = ConfigLoaderImpl(loader.config_search_path)
    for overrides in ([f"experiment={experiment}"], [f"experiment={experiment}", "task=digits"]):
        assert composed(loader, *overrides) == composed(peer, *overrides)


def test_what_a_user_registers_in_the_place_of_a_shipped_configuration_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loaders share what they merged from what is shipped, and from nothing else."""
    shipped = Composer()
    before = composed(shipped._loader)
    store = ConfigStore.instance()
    monkeypatch.setattr(store, "repo", copy.deepcopy(store.repo))
    store.store(group="hydra/launcher", name="basic", node={"_target_": "mine"})
    assert Composer().compose([]).hydra.launcher == {"_target_": "mine"}
    assert composed(shipped._loader) == before


def test_files_that_are_shipped_are_read_once_in_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a folder are read again by each composer: they may have changed."""
    read: list[str] = []
    Composer([]).compose([])
    load = OmegaConf.load
    monkeypatch.setattr(OmegaConf, "load", lambda file: read.append(str(getattr(file, "name", file))) or load(file))
    for width in (1, 2):
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / "one.yaml").write_text(f"width: {width}\n")
        assert Composer([tmp_path]).compose(["+mine=one"]).mine.width == width
    assert [Path(file).name for file in read] == ["one.yaml"] * 2
