"""Evaluates single values of a composed configuration for a point, with OmegaConf itself.

An `Evaluator` owns one composed configuration. It puts a point's values into it and reads the values of interpolations
from it, exactly as resolving a configuration composed for that point would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf

from seedfold.jobs.changing_resolvers import ResolverWatch
from seedfold.jobs.compose import one_line_errors
from seedfold.jobs.errors import UsageError
from seedfold.jobs.interpolations import MISSING
from seedfold.jobs.key_patterns import KeyPath
from seedfold.jobs.shared_config import key_text, walk_texts


class Evaluator:
    """Reads values of a configuration with the values of ``sources`` (paths, none inside another) set as asked.

    ``make_config`` makes the configuration when the first value is read.
    """

    def __init__(
        self,
        make_config: Callable[[], DictConfig],
        sources: Sequence[KeyPath],
        hydra: Any,
        place: str,
        watch: ResolverWatch,
    ) -> None:
        self._make_config = make_config
        self._sources = sources
        self._hydra = hydra
        self._place = place
        self._watch = watch
        self._current_numbers: list[int | None] = [None] * len(sources)

    @cached_property
    def _config_and_parents(self) -> tuple[DictConfig, list[Any]]:
        """The configuration, and the nodes that sources are put into. Missing nodes are created."""
        config = self._make_config()
        OmegaConf.set_struct(config, False)
        OmegaConf.set_readonly(config, False)
        return config, [_ensure_parent_node(config, path) for path in self._sources]

    def set_source(self, source: int, number: int, value: Any) -> None:
        """Set a source to ``value``, known by its ``number``."""
        if self._current_numbers[source] != number:
            config, parents = self._config_and_parents
            parents[source][self._sources[source][-1]] = value
            self._current_numbers[source] = number
            # What a resolver gave for another point says nothing of this one, but all points have one moment.
            cache = OmegaConf.get_cache(config)
            for name in cache.keys() - {"now"}:
                del cache[name]

    def resolve(self, path: KeyPath, may_change: bool = False) -> Any:
        """Return the resolved value at ``path`` as plain data.

        Raises UsageError of one line, which names the key, if it cannot be resolved or needs a missing value, and
        ChangingValueError if a resolver gives another value at every call, unless it ``may_change``.
        """
        try:
            with as_hydra_config(self._hydra), one_line_errors(), self._watch.watching() as changing:
                node = node_at(self._config_and_parents[0], path[:-1])
                found = node[_index(node, path[-1])]
                if OmegaConf.is_config(found):
                    found = OmegaConf.to_container(found, resolve=True, enum_to_str=True)
        except UsageError as error:
            raise UsageError(f"{dotted_key(path)}: {_without_key(str(error), path)} ({self._place})") from error
        if changing and not may_change:
            raise ChangingValueError(
                f"{dotted_key(path)}: ${{{changing[0]}:…}} gives another value at every call, which cannot be part of"
                f" what a job is ({self._place}); give a value, or let the job make it itself"
            )
        refuse_missing(found, path, self._place)
        return found


class ChangingValueError(UsageError):
    """A value that is another one at every call: it is the job's to draw."""


def dotted_key(path: KeyPath) -> str:
    """Return a path as people write it."""
    return ".".join(path)


def refuse_missing(value: Any, path: KeyPath, place: str) -> None:
    """Raise UsageError if ``value`` holds Hydra's mark of a missing value."""
    for inner, text in walk_texts(value, path):
        if text == MISSING:
            raise UsageError(
                f"{dotted_key(inner)}: {place} needs a value that is missing; give {dotted_key(inner)}=VALUE"
            )


def _without_key(message: str, path: KeyPath) -> str:
    return message.removeprefix(f"{dotted_key(path)}: ")


def node_at(config: DictConfig, path: KeyPath) -> Any:
    """Return the node at a path of texts."""
    node: Any = config
    for part in path:
        node = node._get_node(_index(node, part))
    return node


def _index(node: Any, part: str) -> Any:
    """Return the index or the key for a part of a path; keys that are no texts are known by their text."""
    if isinstance(node, ListConfig):
        return int(part)
    if not isinstance(node, DictConfig) or part in node._content:  # type: ignore[operator]
        return part
    return next((key for key in node if key_text(key) == part), part)


def _ensure_parent_node(config: DictConfig, path: KeyPath) -> Any:
    node: Any = config
    for part in path[:-1]:
        child = node._get_node(part)
        if not OmegaConf.is_dict(child) or child._is_none() or child._is_missing():
            node[part] = {}
        node = node._get_node(part)
    return node


@contextmanager
def as_hydra_config(view: Any) -> Iterator[None]:
    """Let ``${hydra:...}`` read the configuration being evaluated, also inside another Hydra program."""
    instance = HydraConfig.instance()
    before = instance.cfg
    instance.cfg = view
    try:
        yield
    finally:
        instance.cfg = before


def pop_hydra_view(config: DictConfig) -> Any:
    """Return what ``${hydra:...}`` should read for ``config``, and remove the ``hydra`` node from it."""
    instance = HydraConfig.instance()
    before = instance.cfg
    try:
        instance.set_config(config)
        view = instance.cfg
    finally:
        instance.cfg = before
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    OmegaConf.set_struct(config, True)
    return view
