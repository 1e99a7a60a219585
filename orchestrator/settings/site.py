"""The site file ``~/.config/seedfold/site.yaml``: ``root``, ``paths``, ``cluster`` and ``notify`` of this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.orchestrator.settings.notify import Notify

SITE_FILE = Path("~/.config/seedfold/site.yaml")
_SECTIONS = ("root", "paths", "cluster", "notify")


def read_site_settings() -> dict[str, Any]:
    """Return this machine's settings; empty where there is no site file. Raises UsageError if it is not valid."""
    file = SITE_FILE.expanduser()
    if not file.exists():
        return {}
    import yaml

    try:
        settings = yaml.safe_load(file.read_bytes()) or {}
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}; correct or remove it") from error
    # PyYAML lets through what Python says of impossible dates and numbers.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{file}: not valid YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(settings, dict):
        raise UsageError(f"{file}: expected a mapping with {', '.join(_SECTIONS)}")
    for key in settings:
        if key not in _SECTIONS:
            raise UsageError(
                f"{file}: {key}: unknown key{did_you_mean(str(key), _SECTIONS)}; known: {', '.join(_SECTIONS)}"
            )
    _check_types(file, settings)
    return settings


def _check_types(file: Path, settings: Mapping[str, Any]) -> None:
    root, paths, cluster, notify = (settings.get(section) for section in _SECTIONS)
    if not isinstance(root, str | None):
        raise UsageError(f"{file}: root: expected the path of a folder, and not {root!r}")
    if not isinstance(paths, Mapping | None):
        raise UsageError(f"{file}: paths: expected a mapping of its keys, and not {paths!r}")
    if not isinstance(cluster, str | Mapping | None):
        raise UsageError(f"{file}: cluster: expected a name, or a mapping of its keys, and not {cluster!r}")
    Notify.parse(notify, f"{file}: notify")


def site_overrides(overrides: Sequence[str] = ()) -> list[str]:
    """Return ``paths`` and ``cluster`` of this machine as overrides, to stand before those of the command line.

    ``cluster`` is the name of an option, or a mapping of its keys. If ``name`` is one of the keys, the others are keys
    of that option, and they are left out where ``overrides`` choose another option.
    """
    name, keys = _cluster_name_and_keys(overrides)
    return [*name, *_key_overrides("paths", read_site_settings().get("paths")), *keys]


def site_cluster_overrides(overrides: Sequence[str] = ()) -> list[str]:
    """As `site_overrides`, but without ``paths`` and the login host, which differ between machines of a cluster."""
    name, keys = _cluster_name_and_keys(overrides)
    return [*name, *(key for key in keys if not key.startswith("++cluster.login"))]


def _cluster_name_and_keys(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """The name of the chosen option, and the keys that are set."""
    from seedfold.jobs.axis_values import group_override

    cluster = read_site_settings().get("cluster")
    name = cluster if isinstance(cluster, str) else cluster.get("name") if isinstance(cluster, Mapping) else None
    chosen = [] if name is None else [group_override("", "cluster", str(name))]
    return chosen, _key_overrides("cluster", site_cluster_keys(overrides))


def site_cluster_keys(overrides: Sequence[str] = ()) -> Mapping[str, Any]:
    """This machine's keys of ``cluster``.

    None if ``overrides`` choose another option than the one that they belong to.
    """
    cluster = read_site_settings().get("cluster")
    if cluster is None or isinstance(cluster, str):
        return {}
    keys = {key: value for key, value in cluster.items() if key != "name"}
    chosen = [override.partition("=")[2] for override in overrides if override.startswith("cluster=")]
    return keys if "name" not in cluster or not chosen or chosen[-1] == str(cluster["name"]) else {}


def _key_overrides(section: str, settings: Any) -> list[str]:
    from seedfold.jobs.axis_values import group_override

    if settings is None:
        return []
    return [group_override("++", f"{section}.{key}", value) for key, value in settings.items()]
