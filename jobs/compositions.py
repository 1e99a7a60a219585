"""What the stages of a study are composed from: one composition by Hydra for each choice of config groups.

Compositions that differ only in options of config groups share all that the choice does not change.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path as FilePath
from typing import Any, NamedTuple, cast

from omegaconf import DictConfig, OmegaConf, flag_override

from seedfold.jobs.absolute_paths import make_absolute
from seedfold.jobs.axis_values import group_override
from seedfold.jobs.changing_resolvers import ResolverWatch
from seedfold.jobs.compose import Composer, one_line_errors, plain_tree
from seedfold.jobs.identity import Identity
from seedfold.jobs.option_changes import ChangedKeys, OptionChanges
from seedfold.jobs.secret_values import refuse_secret_references
from seedfold.jobs.shared_config import walk_texts
from seedfold.jobs.subtree_facts import KnownSubtrees
from seedfold.jobs.value_evaluation import pop_hydra_view

MAX_COMPOSITIONS = 64
"""How many compositions are kept: stages of a study need the same ones, and a copy takes a tenth of the time."""


class GroupOption(NamedTuple):
    """The option of a config group at a point, with the prefix (``+``) of its axis."""

    prefix: str
    group: str
    option: Any

    @property
    def override(self) -> str:
        """The choice in Hydra's grammar."""
        return group_override(self.prefix, self.group, self.option)


@dataclass(frozen=True)
class Composition:
    """A composed configuration without Hydra's node, as plain data, and what ``${hydra:...}`` reads in it.

    ``node`` returns the node of a top-level key, which may only be read; ``make_config`` returns a configuration that
    may be changed, which is rarely needed.
    """

    node: Callable[[str], Any]
    make_config: Callable[[], DictConfig]
    tree: Mapping[str, Any]
    hydra_view: Any


class _HydraView:
    """What ``${hydra:...}`` reads, composed when it is read."""

    def __init__(self, compose: Callable[[], DictConfig]) -> None:
        self._compose = compose

    @cached_property
    def hydra(self) -> Any:
        """Hydra's own node."""
        return pop_hydra_view(self._compose()).hydra


@dataclass(frozen=True)
class _First:
    """The composition that Hydra made, and what other options of its groups change in it."""

    composition: Composition
    changes: OptionChanges


@dataclass(frozen=True)
class StudyContext:
    """What is the same for all stages of a study: Hydra's overrides, names and folders."""

    composer: Composer
    fixed_overrides: tuple[str, ...]
    study_name: str
    folder: FilePath
    identity: Identity
    watch: ResolverWatch = field(default_factory=ResolverWatch, kw_only=True)
    _compositions: dict[tuple[GroupOption, ...], Composition] = field(default_factory=dict, kw_only=True)
    _firsts: dict[tuple[tuple[str, str], ...], _First | None] = field(default_factory=dict, kw_only=True)
    _resources: dict[tuple[int, str], tuple[Any, Any]] = field(default_factory=dict, kw_only=True)

    @cached_property
    def subtrees(self) -> KnownSubtrees:
        """What is known of values that compositions share."""
        return KnownSubtrees(self.identity)

    def compose(self, options: Sequence[GroupOption], resources: Mapping[str, Any]) -> Composition:
        """Return what Hydra composes, with the study's name, absolute paths and a stage's ``resources`` in it.

        Several stages need the same composition and differ only in ``resources``.
        """
        chosen = tuple(options)
        found = self._known(chosen)
        if found is None:
            found = self._change_options(chosen) or self._compose(chosen)
            if len(self._compositions) < MAX_COMPOSITIONS:
                self._compositions[chosen] = found
        return self._with_resources(found, resources) if resources else found

    def _known(self, options: tuple[GroupOption, ...]) -> Composition | None:
        try:
            return self._compositions.get(options)
        except TypeError:
            # Several options of a group at once are a list.
            return None

    def _compose(self, options: tuple[GroupOption, ...]) -> Composition:
        config = self.composer.compose(self._overrides(options))
        view = pop_hydra_view(config)
        fill_in_study(config, self.study_name, self.folder)
        pickled = pickle.dumps(config)
        tree = plain_tree(config)
        # A program's job resolves its references to the environment itself, and nothing of them is written.
        if not self.composer.conventions.leaves_to_job:
            refuse_secret_references(tree)
        found = Composition(
            lambda key: config._get_node(key, validate_access=False),
            lambda: cast(DictConfig, pickle.loads(pickled)),
            tree,
            view,
        )
        if _groups(options) not in self._firsts:
            changes = self.composer.option_changes([option.group for option in options], tree)
            self._firsts[_groups(options)] = None if changes is None else _First(found, changes)
        return found

    def _overrides(self, options: Sequence[GroupOption]) -> list[str]:
        return [*self.fixed_overrides, *(option.override for option in options)]

    def _change_options(self, options: tuple[GroupOption, ...]) -> Composition | None:
        """Return a composition that is made from the first one of the same groups; None if only Hydra can make it."""
        first = self._firsts.get(_groups(options))
        changed = None if first is None else first.changes.change([option.option for option in options])
        if first is None or changed is None:
            return None
        made = _Changed(first.composition, changed)
        refuse_secret_references(made.own_tree)
        view = _HydraView(lambda: self.composer.compose(self._overrides(options)))
        return Composition(made.node, made.make_config, made.tree, view)

    def _with_resources(self, found: Composition, resources: Mapping[str, Any]) -> Composition:
        def make_config() -> DictConfig:
            config = found.make_config()
            set_resources(config, resources)
            return config

        before = found.tree.get("resources")
        known = self._resources.get((id(before), repr(resources)))
        merged = plain_tree(make_config()["resources"]) if known is None else known[1]
        if not any("${" in text for _, text in walk_texts(before)):
            # Merged without a look at any other key; the mapping itself is kept because it is known by its id.
            self._resources[id(before), repr(resources)] = before, merged
        return replace(found, make_config=make_config, tree={**found.tree, "resources": merged})


class _Changed:
    """A composition in which some top-level keys differ from those of another one."""

    def __init__(self, first: Composition, changed: ChangedKeys) -> None:
        self._first = first
        self._changed = changed
        self._configs = {key: pickle.loads(pickled) for key, pickled in changed.merged.items()}
        self.own_tree = {key: plain_tree(config)[key] for key, config in self._configs.items()}
        in_files = [key for key in changed.order if key in self.own_tree or key in first.tree]
        others = [key for key in first.tree if key not in changed.order and key not in changed.removed]
        self._keys = [*in_files, *others]
        self.tree = {key: self.own_tree[key] if key in self.own_tree else first.tree[key] for key in self._keys}

    def node(self, key: str) -> Any:
        if key in self._configs:
            return self._configs[key]._get_node(key)
        return None if key in self._changed.removed else self._first.node(key)

    def make_config(self) -> DictConfig:
        before, config = self._first.make_config(), OmegaConf.create()
        with flag_override(config, "no_deepcopy_set_nodes", True):
            for key in self._keys:
                own = self._changed.merged.get(key)
                config[key] = (before if own is None else pickle.loads(own))._get_node(key)
        OmegaConf.set_struct(config, True)
        return config


def _groups(options: Sequence[GroupOption]) -> tuple[tuple[str, str], ...]:
    return tuple((option.prefix, option.group) for option in options)


def fill_in_study(config: DictConfig, study: str, folder: FilePath) -> None:
    """Put the name of the study into a composed configuration, and make its paths absolute."""
    with one_line_errors():
        OmegaConf.set_struct(config, False)
        config["study"] = study
        make_absolute(config, folder)
        OmegaConf.set_struct(config, True)


def set_resources(config: DictConfig, resources: Mapping[str, Any]) -> None:
    """Put the resources of a stage into a composed configuration."""
    with one_line_errors():
        OmegaConf.set_struct(config, False)
        OmegaConf.update(config, "resources", dict(resources), merge=True, force_add=True)
        OmegaConf.set_struct(config, True)
