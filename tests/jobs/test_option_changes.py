"""What other options of config groups change is what Hydra composes for them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from config_trees import node_facts, trees, write
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.types import RunMode
from hypothesis import HealthCheck, given, settings
from omegaconf import OmegaConf
from omegaconf._utils import get_yaml_loader

from seedfold.jobs.compose import Composer, plain_tree
from seedfold.jobs.compositions import Composition, GroupOption, StudyContext, fill_in_study
from seedfold.jobs.config_loader import CachingLoader
from seedfold.jobs.config_repository import libyaml_loader
from seedfold.jobs.errors import UsageError
from seedfold.jobs.identity import Identity
from seedfold.jobs.study import load_study
from seedfold.jobs.value_evaluation import as_hydra_config, pop_hydra_view

Choice = tuple[str, str]
ALL = list(product(("one", "two"), repeat=2))


class Counted:
    """The compositions that Hydra made."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        load = CachingLoader.load_configuration

        def counted(loader: CachingLoader, *arguments: Any, **options: Any) -> Any:
            self.count += 1
            return load(loader, *arguments, **options)

        patch.setattr(CachingLoader, "load_configuration", counted)


def context_of(folder: Path, fixed: Sequence[str] = ()) -> StudyContext:
    return StudyContext(Composer(primary=f"file://{folder}"), tuple(fixed), "name", folder, Identity())


def options_of(choice: Choice) -> list[GroupOption]:
    return [GroupOption("", "left", choice[0]), GroupOption("", "right", choice[1])]


def described(compose: Any) -> Any:
    """A composition as everything that may be seen of it, or the name of its error."""
    try:
        found: Composition = compose()
    except UsageError as error:
        return str(error)
    config = found.make_config()
    nodes = {key: list(node_facts(found.node(key), ())) for key in found.tree}
    return list(found.tree.items()), list(node_facts(config, ())), nodes, plain_tree(config) == found.tree


def hydras(folder: Path, fixed: Sequence[str], choice: Choice) -> list[Any]:
    """What Hydra itself composes, as a study sees it."""
    loader = ConfigLoaderImpl(create_config_search_path(f"file://{folder}"))
    overrides = [*fixed, *(option.override for option in options_of(choice))]
    config = loader.load_configuration("config", overrides, RunMode.RUN, from_shell=False)
    pop_hydra_view(config)
    fill_in_study(config, "name", folder)
    return list(plain_tree(config).items())


def compare(folder: Path, fixed: Sequence[str] = (), choices: Sequence[Choice] = ALL) -> None:
    """Compare with compositions of which each is the first of its context, which Hydra makes."""
    context = context_of(folder, fixed)
    for choice in choices:
        found = described(lambda choice=choice: context.compose(options_of(choice), {}))
        assert found == described(lambda choice=choice: context_of(folder, fixed).compose(options_of(choice), {}))
        if not isinstance(found, str):
            assert found[0] == hydras(folder, fixed, choice)
            assert found[3]


@pytest.mark.slow
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(files=trees())
def test_other_options_are_what_hydra_composes(files: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), files)
        compare(Path(name), choices=[("one", "one"), ("two", "one"), ("two", "two")])


def project(folder: Path, config: dict[str, Any], **files: Any) -> Path:
    """Write a study with the groups left and right; keyword ``left_two`` is the file of the option."""
    texts = {"config": yaml.safe_dump({"defaults": ["_self_", {"left": "one"}, {"right": "one"}], **config})}
    options = {f"{side}/{name}": f"x: {name}" for side in ("left", "right") for name in ("one", "two")}
    texts |= options | {key.replace("_", "/", 1): _file_text(content) for key, content in files.items()}
    write(folder, texts)
    return folder


def _file_text(content: Any) -> str:
    return content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)


CHANGED = {
    "a file of its own": {},
    "a file that is shared": {
        "left_one": {"defaults": ["base@_here_", "_self_"], "x": 1},
        "left_two": {"defaults": ["base@_here_", "_self_"], "x": 2, "z": "${.x}"},
        "left_base": {"x": 0, "y": "${right.x}"},
    },
    "other keys": {"left_two": "# @package _global_\nleft: {x: 3}\nmore: 1\n", "right_two": {"y": {"deep": [1, 2]}}},
    "an interpolation in the defaults": {
        "config": {"defaults": ["_self_", {"left": "one"}, {"right": "one"}, {"size": "small"}, "extra_${size}"]},
        "extra_small": {"w": 1},
        "size_small": {"s": 1},
    },
}
ASKED = {
    "a defaults list that reads the choice": {
        "config": {"defaults": ["_self_", {"left": "one"}, {"right": "one"}, "extra_${left}"]},
        "extra_one": {"w": 1},
        "extra_two": {"w": 2, "v": 3},
    },
    "an option that overrides another group": {
        "left_two": {"defaults": ["_self_", {"override /right": "two"}], "x": 2},
    },
    "an option with a group of its own": {
        "left_two": {"defaults": [{"inner": "one"}, "_self_"], "x": 2},
        "left_inner/one": {"i": 1},
    },
    "paths that depend on it": {
        "config": {"paths": {"data": "${left.x}"}},
        "left_one": {"x": "here"},
        "left_two": {"x": "/there"},
    },
}


def make_case(folder: Path, case: dict[str, Any]) -> Path:
    case = dict(case)
    config = dict(case.pop("config", {}))
    names = [name.removeprefix("extra_") for name in case if name.startswith("extra_")]
    extras = {f"extra_{name}": _file_text(case.pop(f"extra_{name}")) for name in names}
    project(folder, config, **case)
    write(folder, extras)
    return folder


@pytest.mark.parametrize("case", CHANGED)
def test_hydra_composes_once_for_the_options_of_a_group(
    tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_case(tmp_path, CHANGED[case])
    compare(folder, ["+seed=3"], [("one", "one"), ("two", "two")])
    counted, context = Counted(monkeypatch), context_of(folder, ["+seed=3"])
    for choice in ALL:
        context.compose(options_of(choice), {})
    assert counted.count == 1


@pytest.mark.parametrize("case", ASKED)
def test_hydra_composes_again_where_more_depends_on_an_option(tmp_path: Path, case: str) -> None:
    compare(make_case(tmp_path, ASKED[case]), choices=[("one", "one"), ("two", "one")])


@pytest.mark.parametrize("override", ["b.x=5", "left.x=7", "b={y: 1}", "~b", "+new.z=${left.x}", "b=${left}"])
def test_overrides_of_values_come_after_the_options(tmp_path: Path, override: str) -> None:
    folder = project(tmp_path, {"b": "${left}"}, left_two={"x": 2, "y": 3})
    compare(folder, [override], choices=[("one", "one"), ("two", "one")])


def test_hydras_own_node_has_the_option_that_was_chosen(tmp_path: Path) -> None:
    context = context_of(project(tmp_path, {"name": "${hydra:runtime.choices.left}"}))
    for choice in ("one", "two"):
        found = context.compose(options_of((choice, "one")), {})
        with as_hydra_config(found.hydra_view):
            assert found.make_config().name == choice


def test_an_option_that_is_not_there_is_hydras_error(tmp_path: Path) -> None:
    context = context_of(project(tmp_path, {}))
    context.compose(options_of(("one", "one")), {})
    with pytest.raises(UsageError, match="left=three"):
        context.compose(options_of(("three", "one")), {})


def test_the_resources_of_a_stage_are_merged_into_each_composition(tmp_path: Path) -> None:
    resources = {"cpus": "${left.x}", "more": {"a": 1}}
    context = context_of(project(tmp_path, {"resources": resources}, left_one={"x": 1}, left_two={"x": 2}))
    for choice in ("one", "two"):
        found = context.compose(options_of((choice, "one")), {"more": {"b": 2}, "cpus": 3})
        assert found.tree["resources"] == {"cpus": 3, "more": {"a": 1, "b": 2}}
        assert plain_tree(found.make_config()) == found.tree


@pytest.mark.slow
def test_a_study_of_thirty_tasks_needs_four_compositions(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    study = load_study(["experiment=prevalence_shifts"])
    assert len(list(study.jobs())) == study.count == 2107
    assert counted.count <= 4


def _shipped() -> Iterator[Path]:
    folder = Path(__file__).parents[2] / "conf"
    return folder.rglob("*.yaml")


def test_libyaml_reads_our_files_as_pyyaml_does() -> None:
    texts = [path.read_text() for path in _shipped()]
    assert len(texts) > 100
    for text in texts:
        assert repr(yaml.load(text, libyaml_loader())) == repr(yaml.load(text, get_yaml_loader()))
    with pytest.raises(yaml.YAMLError, match="duplicate key"):
        yaml.load("{a: 1, a: 2}", libyaml_loader())
    assert OmegaConf.create(yaml.load("{a: 1e-3}", libyaml_loader())).a == 0.001
