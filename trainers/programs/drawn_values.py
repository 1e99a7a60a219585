"""What resolvers gave a job that give another value at every call, such as ``${uuid:}``: each job draws once.

What a job draws is written to its folder before the program gets it, and later attempts at the job get the same. With
a cache (``use_cache=True``) a resolver is known by its arguments, as in OmegaConf; without one, each place in the
configuration has a value of its own. Only the job's configuration is concerned, and copies of it; what a program makes
itself with OmegaConf is as without Seedfold.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.base import Container, Node
from omegaconf.basecontainer import BaseContainer

from seedfold.jobs.changing_resolvers import Resolver, wrap_resolvers
from seedfold.jobs.shared_config import paths_to_texts, walk_texts
from seedfold.jobs.typed_config import decode_cache, decode_value, encode_value, import_class
from seedfold.jobs.value_evaluation import node_at
from seedfold.results.store.atomic_files import replace_file

_FILE = "drawn.json"
"""In the job's folder: what its resolvers drew, for later attempts and for other processes of the job."""
_MARK = "seedfold: draws once"
"""In the cache of a configuration, which its copies have as well."""
_log = logging.getLogger(__name__)
_ENVIRONMENT = frozenset({"oc.env", "env"})


class DrawnValues:
    """The drawn values of one job, kept in ``file``; ``names`` are the resolvers that draw."""

    def __init__(self, file: Path, names: Iterable[str]) -> None:
        self._file = file
        self._names = frozenset(names)
        self._calls: Counter[tuple[str, str]] = Counter()
        self._lock = threading.RLock()
        self._has_drawn = self._has_read_environment = False
        self._values: dict[str, Any] = {}
        self._read()

    @classmethod
    def of_program(cls, job_folder: Path, program: Mapping[str, Any]) -> DrawnValues:
        """Return what a job of a program draws; ``program`` is what its description says of the program."""
        return cls(job_folder / _FILE, ["now", *program.get("drawing", ())])

    @contextmanager
    def used_in(self, config: DictConfig, cached_values: Mapping[str, Any]) -> Iterator[None]:
        """Let a configuration draw from here, after it got what resolvers with a cache gave the launching process."""
        cache = OmegaConf.get_cache(config)
        for name, values in decode_cache(cached_values, import_class).items():
            cache[name].update(values)
        cache[_MARK] = {}
        unwrap = wrap_resolvers(self._wrapped)
        try:
            yield
        finally:
            unwrap()

    def values_by_key(self, config: DictConfig, texts: Mapping[str, Any]) -> dict[str, Any]:
        """Return, by dotted key, the values that were drawn, or made of such, as JSON data.

        ``texts`` is the plain configuration, in which what the job resolves is a text. Values that are made of
        environment variables as well, which may be secret, are left out.
        """
        found: dict[str, Any] = {}
        for path, text in walk_texts(texts):
            if "${" not in text:
                continue
            self._has_drawn = self._has_read_environment = False
            try:
                value: Any = node_at(config, path)._dereference_node()
                if isinstance(value, Container):
                    value = OmegaConf.to_container(value, resolve=True, enum_to_str=True)
            except Exception as error:
                _log.debug("%s: %s", ".".join(path), error)
                continue
            if self._has_drawn and not self._has_read_environment:
                found[".".join(path)] = _to_json(value)
        return found

    def _wrapped(self, name: str, resolver: Resolver) -> Resolver:
        if name in _ENVIRONMENT:
            self._has_read_environment = True
        if name not in self._names:
            return resolver

        def draw_once(
            config: BaseContainer, parent: Container, node: Node, args: tuple[Any, ...], texts: tuple[str, ...]
        ) -> Any:
            cache = OmegaConf.get_cache(config)
            if not _is_of_job(config):
                return resolver(config, parent, node, args, texts)
            with self._lock:
                self._has_drawn = True
                place, with_cache = self._place(name, node, args), json.dumps([name, *texts])
                if place not in self._values and with_cache not in self._values:
                    value = resolver(config, parent, node, args, texts)
                    self._keep(with_cache if texts in cache.get(name, {}) else place, value)
                if with_cache in self._values:
                    cache[name][texts] = self._values[with_cache]
                return self._values.get(with_cache, self._values.get(place))

        return draw_once

    def _place(self, name: str, node: Node, args: tuple[Any, ...]) -> str:
        """Return which call this is: of the resolver, in which place, and there the first or a later one."""
        key = str(node._get_full_key(None))
        count = max(1, str(node._value()).count(f"${{{name}:"))
        number = self._calls[name, key] % count
        self._calls[name, key] += 1
        return json.dumps([name, repr(args), key, number])

    def _keep(self, key: str, value: Any) -> None:
        # Another process of the job may have drawn meanwhile; the first one counts.
        self._read()
        if key in self._values:
            return
        self._values[key] = value
        record = {known: encode_value(each, "__main__") for known, each in self._values.items()}
        with replace_file(self._file) as temporary:
            temporary.write_text(json.dumps(record), encoding="utf-8")

    def _read(self) -> None:
        if self._file.exists():
            record = json.loads(self._file.read_text(encoding="utf-8"))
            for key, value in record.items():
                if key not in self._values:
                    self._values[key] = decode_value(value, import_class)


def _is_of_job(config: BaseContainer) -> bool:
    """Whether a configuration is the job's or a copy of it; Hydra makes copies of its own node without the cache."""
    return _MARK in OmegaConf.get_cache(config) or (isinstance(config, DictConfig) and "hydra" in config)


def _to_json(value: Any) -> Any:
    value = value._value() if isinstance(value, Node) else value
    return json.loads(json.dumps(value.name if isinstance(value, Enum) else paths_to_texts(value), default=str))
