"""Hydra's access to configuration files, with a cache: a study composes the same few files again and again.

Hydra reads and parses every file again for each composition, which takes most of the time of composing.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeAlias

import omegaconf._utils
import yaml
from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf._utils import get_yaml_loader

_SHIPPED = ("hydra.conf", "seedfold.conf")
_HYDRAS_OWN = "hydra"
"""Who registered a configuration, for those that Hydra registers itself."""
PickledFile: TypeAlias = tuple[bytes, bytes]
"""A file without its configuration, and its configuration."""
_NO_FILE: PickledFile = (pickle.dumps(None), b"")
_shipped_files: dict[tuple[str, str], PickledFile] = {}
"""The content of files that Hydra and Seedfold bring along: they do not change while a process runs."""


@contextmanager
def _fast_yaml() -> Iterator[None]:
    """Have OmegaConf parse with libyaml, where PyYAML has it.

    It reads the files that are shipped as PyYAML's own parser does, which the tests compare; people's files may have
    what the two read differently.
    """
    original = omegaconf._utils.get_yaml_loader
    omegaconf._utils.get_yaml_loader = libyaml_loader
    try:
        yield
    finally:
        omegaconf._utils.get_yaml_loader = original


@cache
def libyaml_loader() -> Any:
    """Return OmegaConf's own loader of YAML, with libyaml's parser in the place of PyYAML's."""
    own = get_yaml_loader()
    if not yaml.__with_libyaml__:
        return own
    parser = yaml.CSafeLoader.__bases__[0]

    def start(loader: Any, stream: Any) -> None:
        parser.__init__(loader, stream)  # type: ignore[misc]
        yaml.constructor.SafeConstructor.__init__(loader)
        yaml.resolver.Resolver.__init__(loader)

    return type("LibyamlLoader", (parser, own), {"__init__": start})


class _LateConfig(ConfigResult):
    """A file whose configuration is copied when it is asked for: a defaults list needs the rest of it only."""

    @classmethod
    def make(cls, head: dict[str, Any], pickled: bytes) -> _LateConfig:
        late = cls.__new__(cls)
        late.__dict__.update(head, _pickled=pickled)
        return late

    def __getattr__(self, name: str) -> Any:
        if name != "config":
            raise AttributeError(name)
        self.config = pickle.loads(self.__dict__.pop("_pickled"))
        return self.config


class CachingRepository(ConfigRepository):
    """Reads each file once, and returns copies of its content."""

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        """Use another search path from now on, and forget the files of the old one."""
        super().initialize_sources(config_search_path)
        self._pickled_files: dict[str, PickledFile] = {}
        self._sources: dict[tuple[str, ObjectType | None], ConfigSource | None] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> CachingRepository:
        """Return a repository that shares the cache until one of the two changes its search path.

        Hydra copies often.
        """
        return copy.copy(self)

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Return a copy of a file's content and defaults; None if there is no such file."""
        known = self._pickled_files.get(config_path)
        if known is None:
            known = self._pickled_files[config_path] = self._read_file(config_path)
        head = pickle.loads(known[0])
        return None if head is None else _LateConfig.make(head, known[1])

    def shipped_packages(self) -> tuple[str, ...]:
        """Return the packages of Hydra and Seedfold that are searched for files, in this order."""
        return tuple(source.path for source in self.get_sources() if _is_shipped_folder(source))

    def is_shipped(self, config_path: str) -> bool:
        """Whether a file is one that Hydra or Seedfold brings along, with nothing of the user's added to it."""
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        if source is None:
            return False
        if source.scheme() == "structured":
            return _is_registered_by_hydra(config_path)
        return _is_shipped_folder(source) and not self.get_schema_source().is_config(config_path)

    def _read_file(self, config_path: str) -> PickledFile:
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        if source is None or not (_is_shipped_folder(source) or self.is_shipped(config_path)):
            return _pickle_file(super().load_config(config_path))
        key = source.path, config_path
        if key not in _shipped_files:
            with _fast_yaml():
                _shipped_files[key] = _pickle_file(super().load_config(config_path))
        return _shipped_files[key]

    def _find_object_source(self, config_path: str, object_type: ObjectType | None) -> ConfigSource | None:
        key = (config_path, object_type)
        if key not in self._sources:
            self._sources[key] = super()._find_object_source(config_path, object_type)
        return self._sources[key]


def _is_shipped_folder(source: ConfigSource) -> bool:
    return bool(source.path in _SHIPPED and source.scheme() == "pkg")


def _is_registered_by_hydra(config_path: str) -> bool:
    # `load` would copy the configuration as well, which takes longer than all else here.
    return bool(ConfigStore.instance()._load(f"{config_path}.yaml").provider == _HYDRAS_OWN)


def _pickle_file(found: ConfigResult | None) -> PickledFile:
    if found is None:
        return _NO_FILE
    head = {key: value for key, value in vars(found).items() if key != "config"}
    return pickle.dumps(head), pickle.dumps(found.config)
