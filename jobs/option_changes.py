"""What changes in a composition when other options of some config groups are chosen, without composing again.

Choosing another task changes what its file sets, and nothing else, unless another part of the composition looks at the
choice. `OptionChanges.find` sees from what Hydra noted while it composed whether one does, and then returns None:
Hydra has to compose again. The tests compare with Hydra.
"""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import yaml
from hydra._internal.config_repository import IConfigRepository
from hydra._internal.defaults_list import (
    DefaultsList,
    Overrides,
    _create_defaults_tree_impl,
    _tree_to_list,
    ensure_no_duplicates_in_list,
)
from hydra.core.default_element import ConfigDefault, DefaultsTreeNode, GroupDefault, InputDefault, ResultDefault
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf._utils import split_key
from omegaconf.errors import OmegaConfBaseException

from seedfold.jobs.config_loader import CachingLoader, ComposedFiles, FilesByKey, observed_defaults
from seedfold.jobs.interpolations import find_dependencies, target_path
from seedfold.jobs.key_patterns import KeyPath
from seedfold.jobs.shared_config import walk_texts

_ERRORS = (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError, AssertionError)
"""After one of these, Hydra composes, so that the error is its own."""

_PLAIN_OPTION = re.compile(r"[\w/-]+")
_CHANGED_LATER = frozenset({"hydra", "paths", "study"})
"""Keys that do not stay as the files set them."""
_LOCAL_RESOLVERS = frozenset({"oc.env", "env", "oc.decode"})


@dataclass(frozen=True)
class ChangedKeys:
    """The top-level keys that differ from those of the first composition.

    ``merged`` has those that the files set, each pickled in a configuration of its own; ``removed`` those that they no
    longer set. ``order`` is that of all keys that files set.
    """

    merged: Mapping[str, bytes]
    removed: frozenset[str]
    order: tuple[str, ...]


@dataclass(frozen=True)
class _Place:
    """Where the choice of a group stands in the tree of defaults lists."""

    parent: DefaultsTreeNode
    index: int
    node: GroupDefault


class OptionChanges:
    """Answers for one composition and the config groups whose options may change; see `find`."""

    def __init__(
        self,
        loader: CachingLoader,
        repo: IConfigRepository,
        defaults: DefaultsList,
        files: FilesByKey,
        places: Sequence[_Place],
        overridden_keys: frozenset[str],
    ) -> None:
        self._loader = loader
        self._repo = repo
        self._defaults = defaults
        self._files = files
        self._places = places
        self._fixed_keys = _CHANGED_LATER | overridden_keys

    @classmethod
    def find(cls, loader: CachingLoader, groups: Sequence[str], tree: Mapping[str, Any]) -> OptionChanges | None:
        """Return the changes of what ``loader`` has composed last, which is ``tree`` as plain data.

        None if more may depend on the options of ``groups`` than what their files set.
        """
        composed = loader.latest
        if composed.repo is None or composed.defaults is None or not groups:
            return None
        files = loader.files_by_key(composed.defaults.defaults, composed.repo)
        if files is None or _do_files_look_at(groups, composed) or _do_paths_look_elsewhere(tree):
            return None
        overridden = _independent_overrides(loader, composed.defaults, files, composed.repo, tree)
        places = [place for group in groups for place in _find_places(composed.defaults.defaults_tree, group)]
        if overridden is None or [place.node.get_override_key() for place in places] != list(groups):
            return None
        found = cls(loader, composed.repo, composed.defaults, files, places, overridden)
        return found if all(found._subtree(place, place.node.value) is not None for place in places) else None

    def change(self, options: Sequence[Any]) -> ChangedKeys | None:
        """Return what differs with these options of the groups; None if only Hydra can tell."""
        try:
            defaults = self._defaults_with(options)
            return None if defaults is None else self._compare(defaults)
        except _ERRORS:
            return None

    def _compare(self, defaults: list[ResultDefault]) -> ChangedKeys | None:
        files = self._loader.files_by_key(defaults, self._repo)
        if files is None:
            return None
        changed = {key for key in {**self._files, **files} if self._files.get(key) != files.get(key)}
        if changed & self._fixed_keys:
            return None
        merged = self._loader.merge([key for key in files if key in changed], files, defaults, self._repo)
        return ChangedKeys(merged, frozenset(changed - files.keys()), tuple(files))

    def _defaults_with(self, options: Sequence[Any]) -> list[ResultDefault] | None:
        """Return the list of files with these options in the place of those that Hydra chose."""
        subtrees = [self._subtree(place, option) for place, option in zip(self._places, options, strict=True)]
        found = [subtree for subtree in subtrees if subtree is not None]
        if len(found) < len(subtrees):
            return None
        with _replaced(self._places, found):
            defaults = _tree_to_list(self._defaults.defaults_tree)
        ensure_no_duplicates_in_list(defaults)
        return defaults

    def _subtree(self, place: _Place, option: Any) -> InputDefault | DefaultsTreeNode | None:
        """Return the file of an option with the files that it names; None if it makes choices of its own."""
        if not isinstance(option, str) or not _PLAIN_OPTION.fullmatch(option) or place.node.is_deleted():
            return None
        node = copy.copy(place.node)
        node.value, node.package_header = option, None
        choices, composed = Overrides(self._repo, []), ComposedFiles()
        with observed_defaults(composed):
            tree = _create_defaults_tree_impl(
                repo=self._repo,
                root=DefaultsTreeNode(node=node, parent=place.parent),
                is_root_config=False,
                skip_missing=False,
                interpolated_subtree=False,
                overrides=choices,
            )
        is_alone = all(type(child) is ConfigDefault for child in _nodes_below(tree))
        if composed.interpolations or choices.override_choices or node.is_deleted() or not is_alone:
            return None
        return node if tree.children is None else tree


@contextmanager
def _replaced(places: Sequence[_Place], subtrees: Sequence[InputDefault | DefaultsTreeNode]) -> Iterator[None]:
    """Put subtrees into a tree of defaults lists for a moment."""
    before = [_children(place.parent)[place.index] for place in places]
    try:
        for place, subtree in zip(places, subtrees, strict=True):
            _children(place.parent)[place.index] = subtree
        yield
    finally:
        for place, subtree in zip(places, before, strict=True):
            _children(place.parent)[place.index] = subtree


def _children(tree: DefaultsTreeNode) -> list[Any]:
    return [] if tree.children is None else tree.children


def _find_places(tree: DefaultsTreeNode, group: str) -> Iterator[_Place]:
    for index, child in enumerate(_children(tree)):
        node = child.node if isinstance(child, DefaultsTreeNode) else child
        if isinstance(node, GroupDefault) and node.get_override_key() == group:
            yield _Place(tree, index, node)
        if isinstance(child, DefaultsTreeNode):
            yield from _find_places(child, group)


def _nodes_below(tree: DefaultsTreeNode) -> Iterator[InputDefault]:
    for child in _children(tree):
        if isinstance(child, DefaultsTreeNode):
            yield child.node
            yield from _nodes_below(child)
        else:
            yield child


def _do_files_look_at(groups: Sequence[str], composed: ComposedFiles) -> bool:
    """Whether the option of a group may choose a file elsewhere in a defaults list, or is taken out again."""
    texts = composed.interpolations
    computed = any(":" in text or "defaults" in text or any(group in text for group in groups) for text in texts)
    deletions = composed.defaults.overrides.deletions if composed.defaults is not None else {}
    return computed or bool(deletions)


def _do_paths_look_elsewhere(tree: Mapping[str, Any]) -> bool:
    """Whether making paths absolute needs values outside ``paths``."""
    texts = [(path, text) for path, text in walk_texts(tree.get("paths"), ("paths",)) if "${" in text]
    for path, text in texts:
        found = find_dependencies(text)
        if not found.resolvers <= _LOCAL_RESOLVERS:
            return True
        if any(target_path(reference, path)[:1] != ("paths",) for reference in found.references):
            return True
    return False


def _independent_overrides(
    loader: CachingLoader, defaults: DefaultsList, files: FilesByKey, repo: IConfigRepository, tree: Mapping[str, Any]
) -> frozenset[str] | None:
    """Return the top-level keys that overrides of values change; None if one may change, or look at, another key."""
    paths = [tuple(split_key(override.key_or_group)) for override in defaults.config_overrides]
    if any(left[: len(right)] == right or right[: len(left)] == left for left, right in combinations(paths, 2)):
        return None
    merged = loader.merge({path[0] for path in paths if path[0] in files}, files, defaults.defaults, repo)
    for override, path in zip(defaults.config_overrides, paths, strict=True):
        before = pickle.loads(merged[path[0]]) if path[0] in merged else DictConfig({})
        if not _sets_one_value(override) or not _is_plain_way(before, path) or path[0] in _CHANGED_LATER - {"study"}:
            return None
        if _leads_through_text(tree, path):
            return None
    return frozenset(path[0] for path in paths)


def _sets_one_value(override: Override) -> bool:
    return not override.is_delete() and not isinstance(override.value(), (dict, list))


def _is_plain_way(config: DictConfig, path: KeyPath) -> bool:
    """Whether a path leads through mappings only, as far as it exists, and not to an interpolation."""
    node: Any = config
    for part in path:
        if node is None:
            return True
        if not isinstance(node, DictConfig) or node._is_interpolation() or node._is_none() or node._is_missing():
            return False
        node = node._get_node(part, validate_access=False)
    return node is None or not node._is_interpolation()


def _leads_through_text(tree: Any, path: KeyPath) -> bool:
    for part in path[:-1]:
        if not isinstance(tree, dict):
            return True
        tree = tree.get(part)
    return not isinstance(tree, dict)
