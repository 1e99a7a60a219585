"""Keeps ``${result:STAGE,KEY}`` as text while a study is composed, by a resolver of OmegaConf.

OmegaConf is imported only where the resolver is registered, because every worker and every job imports this module.
"""

from __future__ import annotations

import re
from typing import Any

LATE_RESOLVER = "result"
"""The name of the resolver."""

_UNQUOTED = re.compile(r"[\w./+\-%:@]+")


def register_late_references() -> None:
    """Make OmegaConf keep ``${result:...}`` as text."""
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver(LATE_RESOLVER, _keep_as_text, replace=True)


def _keep_as_text(*arguments: Any) -> str:
    return f"${{{LATE_RESOLVER}:{','.join(_argument_text(argument) for argument in arguments)}}}"


def _argument_text(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if _UNQUOTED.fullmatch(text) else "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
