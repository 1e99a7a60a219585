"""What holds on this machine for every study: ``~/.config/seedfold/site.yaml``, ``root``, ``paths`` and ``cluster``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seedfold.jobs.errors import UsageError, did_you_mean

SITE_FILE = Path("~/.config/seedfold/site.yaml")
_KEYS = ("root", "paths", "cluster")


def site_settings() -> dict[str, Any]:
    """Return this machine's settings; empty where there is no site file. Raises UsageError for what it cannot hold."""
    file = SITE_FILE.expanduser()
    if not file.exists():
        return {}
    import yaml

    try:
        settings = yaml.safe_load(file.read_text()) or {}
    except yaml.YAMLError as error:
        raise UsageError(f"{file}: no YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(settings, dict):
        raise UsageError(f"{file}: expected a mapping with {', '.join(_KEYS)}")
    for key in settings:
        if key not in _KEYS:
            raise UsageError(f"{file}: {key}: unknown key{did_you_mean(str(key), _KEYS)}; known: {', '.join(_KEYS)}")
    return settings


def site_overrides(overrides: Sequence[str] = ()) -> list[str]:
    """Return ``paths`` and ``cluster`` of this machine as overrides, to stand before those of the command line.

    ``cluster`` is the name of an option, or a mapping of its keys; with ``name`` among them, they are those of that
    option, and are left out where ``overrides`` choose another.
    """
    from seedfold.jobs.grammar import group_override

    settings = site_settings()
    paths, cluster = _keys("paths", settings.get("paths")), settings.get("cluster")
    if isinstance(cluster, str):
        return [group_override("", "cluster", cluster), *paths]
    if not isinstance(cluster, Mapping) or "name" not in cluster:
        return [*paths, *_keys("cluster", cluster)]
    name = str(cluster["name"])
    keys = {key: value for key, value in cluster.items() if key != "name"}
    chosen = [given.partition("=")[2] for given in overrides if given.startswith("cluster=")]
    own = _keys("cluster", keys) if not chosen or chosen[-1] == name else []
    return [group_override("", "cluster", name), *paths, *own]


def _keys(section: str, given: Any) -> list[str]:
    from seedfold.jobs.grammar import group_override

    if given is None:
        return []
    if not isinstance(given, Mapping):
        raise UsageError(f"{SITE_FILE.expanduser()}: {section}: expected a mapping of its keys")
    return [group_override("++", f"{section}.{key}", value) for key, value in given.items()]
