"""Evaluating single values of a composed configuration for a point, through OmegaConf itself.

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

from seedfold.jobs.compose import one_line_errors
from seedfold.jobs.errors import UsageError
from seedfold.jobs.interpolations import MISSING
from seedfold.jobs.patterns import Path
from seedfold.jobs.shared_config import strings


class Evaluator:
    """Reads values of a configuration with the values of ``sources`` (paths, none inside another) set as asked.

    ``make`` makes the configuration, when the first value is asked for.
    """

    def __init__(self, make: Callable[[], DictConfig], sources: Sequence[Path], hydra: Any, place: str) -> None:
        self._make = make
        self._sources = sources
        self._hydra = hydra
        self._place = place
        self._numbers: list[int | None] = [None] * len(sources)

    @cached_property
    def _opened(self) -> tuple[DictConfig, list[Any]]:
        """The configuration, and the nodes that sources are put into, which are made where they are not there."""
        config = self._make()
        OmegaConf.set_struct(config, False)
        OmegaConf.set_readonly(config, False)
        return config, [_parent(config, path) for path in self._sources]

    def place(self, source: int, number: int, value: Any) -> None:
        """Set a source to ``value``, known by its ``number``."""
        if self._numbers[source] != number:
            self._opened[1][source][self._sources[source][-1]] = value
            self._numbers[source] = number

    def value(self, path: Path) -> Any:
        """Return the resolved value at ``path`` as plain data.

        Raises UsageError of one line that names the key where it cannot be resolved or needs a missing value.
        """
        try:
            with _hydra_of(self._hydra), one_line_errors():
                node: Any = self._opened[0]
                for part in path[:-1]:
                    node = node._get_node(_index(node, part))
                found = node[_index(node, path[-1])]
                if OmegaConf.is_config(found):
                    found = OmegaConf.to_container(found, resolve=True, enum_to_str=True)
        except UsageError as error:
            raise UsageError(f"{dotted(path)}: {_without_key(str(error), path)} ({self._place})") from error
        refuse_missing(found, path, self._place)
        return found


def dotted(path: Path) -> str:
    """Return a path as people write it."""
    return ".".join(path)


def refuse_missing(value: Any, path: Path, place: str) -> None:
    """Raise UsageError where ``value`` holds Hydra's mark of a missing value."""
    for inner, text in strings(value, path):
        if text == MISSING:
            raise UsageError(f"{dotted(inner)}: {place} needs a value that is missing; give {dotted(inner)}=VALUE")


def _without_key(message: str, path: Path) -> str:
    return message.removeprefix(f"{dotted(path)}: ")


def _index(node: Any, part: str) -> Any:
    return int(part) if isinstance(node, ListConfig) else part


def _parent(config: DictConfig, path: Path) -> Any:
    node: Any = config
    for part in path[:-1]:
        child = node._get_node(part)
        if not OmegaConf.is_dict(child) or child._is_none() or child._is_missing():
            node[part] = {}
        node = node._get_node(part)
    return node


@contextmanager
def _hydra_of(view: Any) -> Iterator[None]:
    """Let ``${hydra:...}`` read the configuration being evaluated, also inside another Hydra program."""
    instance = HydraConfig.instance()
    before = instance.cfg
    instance.cfg = view
    try:
        yield
    finally:
        instance.cfg = before


def hydra_view(config: DictConfig) -> Any:
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
