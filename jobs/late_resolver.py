"""``${result:STAGE,KEY}`` as OmegaConf sees it while a study is composed: text that stays as it is.

OmegaConf is imported where the resolver is registered: every worker and every job imports this module.
"""

from __future__ import annotations

import re
from typing import Any

LATE = "result"
"""The name of the resolver."""

_WORD = re.compile(r"[\w./+\-%:@]+")


def register_late_references() -> None:
    """Make OmegaConf keep ``${result:...}`` as text."""
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver(LATE, _keep, replace=True)


def _keep(*arguments: Any) -> str:
    return f"${{{LATE}:{','.join(_argument(argument) for argument in arguments)}}}"


def _argument(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if _WORD.fullmatch(text) else "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
