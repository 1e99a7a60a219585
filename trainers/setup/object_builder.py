"""Objects from configuration: Hydra's ``_target_`` notation, with failures that name the key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seedfold.jobs.work import ConfigFailure, DataFailure


def build(node: Mapping[str, Any] | None, key: str, *arguments: Any) -> Any:
    """Instantiate ``node`` (``_target_``, optionally ``_partial_``), nested nodes included, from plain containers.

    ``key`` is the node's place in the configuration. Raises ConfigFailure for a class that does not import or refuses
    its arguments; a ConfigFailure or DataFailure of the class itself goes through.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    if not node or "_target_" not in node:
        raise ConfigFailure(
            f"{key}: has no _target_, so nothing can be built;"
            f" choose an option ({key.split('.')[0]}=…) or give _target_"
        )
    try:
        return instantiate(dict(node), *arguments, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, ConfigFailure | DataFailure):
            raise error.__cause__ from None
        raise ConfigFailure(f"{key}: {_failure_reason(error)}") from error


def _failure_reason(error: Exception) -> str:
    cause = error.__cause__
    if cause is None:
        return str(error).splitlines()[0]
    return f"{type(cause).__name__}: {' '.join(str(cause).split())}"
