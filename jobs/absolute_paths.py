"""Makes relative paths of a study absolute when it is read, because jobs run in other folders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig
from omegaconf.errors import OmegaConfBaseException

PATHS_KEY = "paths"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")


def make_absolute(config: DictConfig, folder: Path) -> None:
    """Make the relative paths below ``paths`` absolute, starting from ``folder``.

    Those with a scheme stay as they are.
    """
    node = config._get_node(PATHS_KEY)
    if isinstance(node, (DictConfig, ListConfig)) and not (node._is_none() or node._is_interpolation()):
        _make_tree_absolute(node, folder)


def _make_tree_absolute(node: Any, folder: Path) -> None:
    for name in list(node.keys()) if isinstance(node, DictConfig) else range(len(node)):
        child = node._get_node(name)
        if isinstance(child, (DictConfig, ListConfig)):
            if not (child._is_none() or child._is_missing() or child._is_interpolation()):
                _make_tree_absolute(child, folder)
        elif isinstance(child._value(), str) and _is_relative(node, name, child._value()):
            node[name] = _absolute_text(folder, child._value())


def _is_relative(node: Any, name: Any, text: str) -> bool:
    resolved: Any = text
    if text.startswith("${"):
        try:
            resolved = node[name]
        except OmegaConfBaseException:
            # If a value cannot be resolved here, the error, with its key, comes when a job needs the value.
            return False
    if not isinstance(resolved, str) or resolved == "???":
        return False
    return not resolved.startswith("/") and _SCHEME.match(resolved) is None


def _absolute_text(folder: Path, text: str) -> str:
    if text.startswith("~"):
        return str(Path(text).expanduser())
    root = str(folder.absolute()).replace("${", "\\${")
    return f"{root}/{text}" if "${" in text else str(Path(root, text))
