"""What holds on this machine for every study: ``~/.config/seedfold/site.yaml``, ``root``, ``paths`` and ``cluster``."""

from __future__ import annotations

from collections.abc import Mapping
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


def site_overrides() -> list[str]:
    """Return ``paths`` and ``cluster`` of this machine as overrides, to stand before those of the command line.

    ``cluster`` is the name of an option, or a mapping of its keys.
    """
    from seedfold.jobs.grammar import group_override

    settings = site_settings()
    cluster = settings.get("cluster")
    if isinstance(cluster, str):
        return [group_override("", "cluster", cluster), *_keys("paths", settings.get("paths"))]
    return [*_keys("paths", settings.get("paths")), *_keys("cluster", cluster)]


def _keys(section: str, given: Any) -> list[str]:
    from seedfold.jobs.grammar import group_override

    if given is None:
        return []
    if not isinstance(given, Mapping):
        raise UsageError(f"{SITE_FILE.expanduser()}: {section}: expected a mapping of its keys")
    return [group_override("++", f"{section}.{key}", value) for key, value in given.items()]
