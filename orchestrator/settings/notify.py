"""Who is told when a study has nothing left to do, under the key ``notify`` of a study file or of the site file.

What is given may hold a secret, such as the address of a webhook. So it is never printed, also not in errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from seedfold.jobs.errors import UsageError, did_you_mean

Outcome = Literal["done", "failed"]
_KEYS: tuple[Outcome, ...] = ("done", "failed")
_SCHEMES = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Notify:
    """A command or the URL of a webhook for each outcome; None for none."""

    done: str | None = None
    failed: str | None = None

    @classmethod
    def parse(cls, settings: Any, place: str = "notify") -> Notify:
        """Read ``notify``. Raises UsageError for an unknown key, and for a value that is no text or no URL."""
        given = settings or {}
        if not isinstance(given, Mapping):
            raise UsageError(
                f"{place}: is not a mapping; write {place}: {{done: COMMAND or URL, failed: COMMAND or URL}}"
            )
        for key in given:
            if key not in _KEYS:
                raise UsageError(
                    f"{place}.{key}: unknown key{did_you_mean(str(key), _KEYS)}; known: {', '.join(_KEYS)}"
                )
        for key, target in given.items():
            if target is not None and (not isinstance(target, str) or not target.strip()):
                raise UsageError(f"{place}.{key}: is neither a command nor a URL; write it as text")
            if target is not None and is_webhook(target) and not _host(target):
                raise UsageError(f"{place}.{key}: is a URL without a host")
        return cls(given.get("done"), given.get("failed"))

    def target(self, outcome: Outcome) -> str | None:
        """The command or URL for an outcome."""
        return self.done if outcome == "done" else self.failed


def is_webhook(target: str) -> bool:
    """Whether this is a URL, and not a command."""
    return target.startswith(_SCHEMES)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def public_name(target: str) -> str:
    """What may be printed of a command or URL: no more than the host of a URL."""
    return f"the webhook at {_host(target)}" if is_webhook(target) else "the command of notify"


def without_targets(word: str) -> str:
    """Return a word of a command line without the command or URL that it gives."""
    key, sign, _ = word.partition("=")
    return f"{key}=[not kept]" if sign and key.lstrip("+").split(".")[0] == "notify" else word
