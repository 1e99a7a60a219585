"""Hydra's configuration loader, with a cache for the parts that compositions of a study have in common.

A study composes dozens of configurations that differ in one part, its task. Hydra merges every part again for each of
them; here each top-level key is merged once for each list of files that set something below it. Hydra itself still
reads files, defaults lists and overrides, and makes its own node.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import combinations
from typing import Any

from hydra import version
from hydra._internal import config_loader_impl, defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra._internal.defaults_list import DefaultsList
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import ConfigDefault, GroupDefault, InputDefault, ResultDefault
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import Container, DictConfig, OmegaConf, flag_override

from seedfold.jobs.config_repository import CachingRepository

_CHOICES_ONLY = re.compile(r"(?:[\w/-]|\$\{(?!defaults\b)\w+\})*")
"""A text that names choices of groups, and no place in the defaults list itself."""

MANY_FILES = 8
"""From so many files on, what they set below a top-level key is merged in parts."""

NodePath = tuple[Any, ...]
PlacedFile = tuple[str, str]
"""A configuration file, and the package that it is put in."""


@dataclass(frozen=True)
class KeyContent:
    """What one file sets below one top-level key, and the places in it whose values merging has to look up.

    ``children`` are the keys directly below it; None if it is not a plain mapping.
    """

    paths: frozenset[NodePath]
    context_dependent: frozenset[NodePath]
    children: tuple[str, ...] | None


FileContents = Mapping[str, KeyContent]
FilesByKey = Mapping[str, tuple[PlacedFile, ...]]
"""The files that set something below each top-level key, in the order in which they are merged."""


MergedKey = tuple[str, tuple[PlacedFile, ...]]
"""A top-level key, and the files that were merged below it."""


@dataclass
class MergedFiles:
    """What files set, and what some of them are when they are merged."""

    contents: dict[PlacedFile, FileContents | None] = field(default_factory=dict)
    keys: dict[MergedKey, bytes] = field(default_factory=dict)


_shipped: dict[tuple[str, ...], MergedFiles] = {}
"""What all loaders of a process have in common: the files that are shipped, by the packages that are searched."""


@dataclass
class ComposedFiles:
    """Which files the latest composition was made from, and the interpolations that chose some of them."""

    repo: IConfigRepository | None = None
    defaults: DefaultsList | None = None
    interpolations: list[str] = field(default_factory=list)


class CachingLoader(ConfigLoaderImpl):
    """Composes the same as Hydra's loader, but copies what it has merged before."""

    repository: CachingRepository

    def __init__(self, search_path: ConfigSearchPath) -> None:
        super().__init__(search_path)
        self.repository = CachingRepository(search_path)
        self._own, self._shared = MergedFiles(), _shipped.setdefault(self.repository.shipped_packages(), MergedFiles())
        self._is_shared: dict[PlacedFile, bool] = {}
        self._parts: dict[tuple[Any, ...], bytes] = {}
        self._wanted_keys: Collection[str] | None = None
        self._wanted_child: str | None = None
        self._is_copy = False
        self.latest = ComposedFiles()

    def _load_configuration_impl(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        self.latest = ComposedFiles()
        with observed_defaults(self.latest):
            return super()._load_configuration_impl(
                config_name, overrides, run_mode, from_shell, validate_sweep_overrides
            )

    def _compose_config_from_defaults_list(self, defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
        files_by_key = self.files_by_key(defaults, repo)
        if files_by_key is None:
            return super()._compose_config_from_defaults_list(defaults, repo)
        return join_nodes(self.merge(files_by_key, files_by_key, defaults, repo))

    def files_by_key(self, defaults: list[ResultDefault], repo: IConfigRepository) -> FilesByKey | None:
        """Return the files that set each top-level key; None if the keys cannot be merged one by one."""
        if not self._are_own_files(repo):
            return None
        contents = [self._content_of(default, repo) for default in defaults]
        readable = [content for content in contents if content is not None]
        keys = _top_level_keys(readable)
        if len(readable) < len(contents) or not all(_are_independent(key, readable) for key in keys):
            return None
        files: dict[str, list[PlacedFile]] = {key: [] for key in keys}
        for default, content in zip(defaults, readable, strict=True):
            for key in content:
                files[key].append(_placed_file(default))
        return {key: tuple(placed) for key, placed in files.items()}

    def merge(
        self,
        keys: Iterable[str],
        files_by_key: FilesByKey,
        defaults: list[ResultDefault],
        repo: IConfigRepository,
    ) -> dict[str, bytes]:
        """Return what the files set below each of these top-level keys, merged: a configuration of one key, pickled."""
        known = {key: self._memory_of(*files_by_key[key]).keys for key in keys}
        missing = {key for key, merged in known.items() if (key, files_by_key[key]) not in merged}
        self._merge(missing, files_by_key, defaults, repo)
        return {key: merged[key, files_by_key[key]] for key, merged in known.items()}

    def _memory_of(self, *files: PlacedFile) -> MergedFiles:
        """Return where it is remembered what these files set: once for all loaders if all of them are shipped."""
        for file in files:
            if file not in self._is_shared:
                self._is_shared[file] = self.repository.is_shipped(file[0])
        return self._shared if all(self._is_shared[file] for file in files) else self._own

    def _merge(
        self,
        keys: set[str],
        files_by_key: FilesByKey,
        defaults: list[ResultDefault],
        repo: IConfigRepository,
    ) -> None:
        """Merge what the files set below these keys, and remember it."""
        children = {key: self._children_of(key, files_by_key[key]) for key in keys}
        whole = {key for key in keys if len(children[key]) < 2}
        merged = self._merge_part(whole, None, {part for key in whole for part in files_by_key[key]}, defaults, repo)
        for key in whole:
            self._remember(key, files_by_key[key], single_key_config(key, merged._get_node(key)))
        for key in keys - whole:
            parts = [self._merge_part({key}, child, files, defaults, repo) for child, files in children[key].items()]
            self._remember(key, files_by_key[key], _join_children(key, parts))

    def _remember(self, key: str, files: tuple[PlacedFile, ...], merged: DictConfig) -> None:
        self._memory_of(*files).keys[key, files] = pickle.dumps(merged)

    def _children_of(self, key: str, files: Sequence[PlacedFile]) -> Mapping[str, set[PlacedFile]]:
        """Return the files that set each key directly below a top-level key, if it pays to merge these one by one.

        OmegaConf goes over all that was merged for each file that it adds. Nothing is returned where a file sets the
        top-level key to anything but a plain mapping.
        """
        found: dict[str, set[PlacedFile]] = {}
        if len(files) < MANY_FILES:
            return found
        for file in files:
            content = self._memory_of(file).contents[file]
            children = None if content is None else content[key].children
            if children is None:
                return {}
            for child in children:
                found.setdefault(child, set()).add(file)
        return found

    def _merge_part(
        self,
        keys: set[str],
        child: str | None,
        files: set[PlacedFile],
        defaults: list[ResultDefault],
        repo: IConfigRepository,
    ) -> DictConfig:
        """Merge what files set below these keys; of one key, only what they set below one ``child``."""
        self._wanted_keys, self._wanted_child = keys, child
        try:
            return super()._compose_config_from_defaults_list(
                [default for default in defaults if _placed_file(default) in files], repo
            )
        finally:
            self._wanted_keys = self._wanted_child = None

    def _are_own_files(self, repo: IConfigRepository) -> bool:
        """Whether ``repo`` finds what the loader finds: a search path of its own has other files of the same names."""
        return bool(repo.get_sources() == self.repository.get_sources())

    def _load_single_config(self, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
        self._is_copy = self._are_own_files(repo)
        if self._wanted_keys is None or not self._is_copy or len(self._wanted_keys) != 1:
            return self._load_part(default, repo)
        # The options of a group are merged with the same part of the files that are always there.
        part = (_placed_file(default), *self._wanted_keys, self._wanted_child)
        if part not in self._parts:
            self._parts[part] = pickle.dumps(self._load_part(default, repo).config)
        return ConfigResult(default.config_path or "", "", pickle.loads(self._parts[part]), {})

    def _load_part(self, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
        """Return what a file sets below the keys that are wanted."""
        found = super()._load_single_config(default, self.repository if self._is_copy else repo)
        if self._wanted_keys is not None and isinstance(found.config, DictConfig):
            for key in [key for key in found.config if key not in self._wanted_keys]:
                del found.config[key]
            if self._wanted_child is not None:
                for key in list(found.config):
                    node: Any = found.config._get_node(key)
                    for child in [child for child in node if child != self._wanted_child]:
                        del node[child]
        return found

    def _embed_result_config(  # type: ignore[override]
        self, ret: ConfigResult, package_override: str | None
    ) -> ConfigResult:
        package = ret.header["package"] if package_override is None else package_override
        if not package or not self._is_copy:
            return ConfigLoaderImpl._embed_result_config(ret, package_override)
        # Each call of our repository returns a copy, which need not be copied once more.
        config = OmegaConf.create()
        with flag_override(config, "no_deepcopy_set_nodes", True):
            OmegaConf.update(config, package, ret.config, merge=False)
        return replace(ret, config=config)

    def _content_of(self, default: ResultDefault, repo: IConfigRepository) -> FileContents | None:
        """Return what a file sets, by top-level key; None if a key depends on more than what the files set below it."""
        placed_file = _placed_file(default)
        known = self._memory_of(placed_file).contents
        if placed_file not in known:
            known[placed_file] = _read_content(self._load_single_config(default, repo).config)
        return known[placed_file]


@contextmanager
def observed_defaults(composed: ComposedFiles) -> Iterator[None]:
    """Note in ``composed`` which files Hydra chooses.

    Hydra gathers all choices for each file, and the defaults list as well; here it does so where they are needed. Few
    defaults lists have an interpolation. It parses the same numbers of versions for each of them; here once.
    """
    loader: Any = config_loader_impl
    original_version = version._get_version
    original_map, original_list = defaults_list._create_interpolation_map, loader.create_defaults_list

    def interpolation_map(
        overrides: defaults_list.Overrides, defaults_list: list[InputDefault], self_added: bool
    ) -> DictConfig:
        texts = [_chosen_text(default) for default in defaults_list if default.is_interpolation()]
        composed.interpolations += texts
        if all(_CHOICES_ONLY.fullmatch(text) for text in texts):
            return OmegaConf.create(dict(overrides.known_choices)) if texts else DictConfig({})
        return original_map(overrides, defaults_list, self_added)

    def defaults_list_of(repo: IConfigRepository, *arguments: Any, **options: Any) -> DefaultsList:
        composed.repo = repo
        composed.defaults = original_list(repo, *arguments, **options)
        return composed.defaults

    defaults_list._create_interpolation_map = interpolation_map
    loader.create_defaults_list = defaults_list_of
    version._get_version = _parse_version
    try:
        yield
    finally:
        defaults_list._create_interpolation_map = original_map
        loader.create_defaults_list = original_list
        version._get_version = original_version


_parse_version = cache(version._get_version)


def _chosen_text(default: InputDefault) -> str:
    """Return the option of a group, or the path of a file, as a defaults list has it."""
    if isinstance(default, GroupDefault):
        return str(default.value)
    return str(default.path) if isinstance(default, ConfigDefault) else "${"


def _placed_file(default: ResultDefault) -> PlacedFile:
    return default.config_path or "", default.package or ""


def _top_level_keys(contents: list[FileContents]) -> list[str]:
    """The top-level keys in the order in which merging meets them."""
    return list(dict.fromkeys(key for content in contents for key in content))


def _are_independent(key: str, contents: list[FileContents]) -> bool:
    """Whether merging what is set below a key needs nothing that is set elsewhere."""
    key_contents = [content[key] for content in contents if key in content]
    return not any(earlier.context_dependent & later.paths for earlier, later in combinations(key_contents, 2))


def _read_content(config: Any) -> FileContents | None:
    if not isinstance(config, DictConfig) or config._metadata.object_type is not dict or config._metadata.flags:
        return None
    return {str(key): _key_content(str(key), config._get_node(key)) for key in config}


def _key_content(key: str, node: Any) -> KeyContent:
    nodes = list(_walk_nodes(node, ()))
    return KeyContent(
        frozenset(path for path, _ in nodes),
        frozenset(place for place, inner in nodes if _depends_on_context(inner, key)),
        _children_of_node(node),
    )


def _children_of_node(node: Any) -> tuple[str, ...] | None:
    if not isinstance(node, DictConfig) or node._is_interpolation() or node._is_none() or node._is_missing():
        return None
    is_plain = node._metadata.object_type is dict and node._metadata.ref_type is Any and not node._metadata.flags
    return tuple(node) if is_plain and all(isinstance(key, str) for key in node) else None


def _depends_on_context(node: Any, key: str) -> bool:
    """Whether what is merged onto a node depends on something outside its top-level key.

    An interpolation that stands for a container is replaced by it; what is merged onto a container that is null is
    resolved first. Hydra's own node refers only to itself.
    """
    if not node._is_interpolation():
        return isinstance(node, Container) and node._is_none()
    text = str(node._value())
    is_hydras = key == "hydra" and text.startswith("${hydra.") and "${" not in text[2:]
    return text.startswith("${") and text.endswith("}") and not is_hydras


def _walk_nodes(node: Any, path: NodePath) -> Iterator[tuple[NodePath, Any]]:
    yield path, node
    if isinstance(node, DictConfig) and not (node._is_interpolation() or node._is_none() or node._is_missing()):
        for key in node:
            yield from _walk_nodes(node._get_node(key), (*path, key))


def single_key_config(key: str, node: Any) -> DictConfig:
    """Return a configuration of one key, whose node is not copied."""
    config = OmegaConf.create()
    with flag_override(config, "no_deepcopy_set_nodes", True):
        config[key] = node
    return config


def _join_children(key: str, parts: Sequence[DictConfig]) -> DictConfig:
    """Return a configuration of one key with what each part has below it."""
    first: Any = parts[0]._get_node(key)
    with flag_override(first, "no_deepcopy_set_nodes", True):
        for part in parts[1:]:
            node: Any = part._get_node(key)
            for child in list(node):
                first[child] = node._get_node(child)
    return single_key_config(key, first)


def join_nodes(nodes: Mapping[str, bytes]) -> DictConfig:
    """Return a configuration of these top-level keys, each of them pickled in a configuration of its own."""
    config = OmegaConf.create()
    with flag_override(config, "no_deepcopy_set_nodes", True):
        for key, pickled in nodes.items():
            config[key] = pickle.loads(pickled)._get_node(key)
    return config
