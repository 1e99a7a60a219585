"""Digests of syntax from earlier commands, kept in ``~/.cache/seedfold/syntax.json``: parsing is what takes long.

They are named by the digest of the content, and so are never those of another version of a file. The file may be
deleted at any time; what cannot be read or written is computed again.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

from seedfold.orchestrator.code.digests import digest_file
from seedfold.orchestrator.code.syntax import syntax_digest_of_file
from seedfold.results.store.atomic_files import replace_file

_MAX_KEPT = 2_000
_MADE_BY = f"1, Python {sys.version_info.major}.{sys.version_info.minor}"
"""Digests of another Python are not used: what it cannot parse, this one may."""

Digests = dict[str, str | None]


class SyntaxCache:
    """Digests of syntax of files; ``save`` keeps for later processes what was computed in this one."""

    def __init__(self) -> None:
        self._file = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "seedfold" / "syntax.json"
        self._known: Digests | None = None
        self._new: Digests = {}

    def digest(self, path: Path, content: str) -> str | None:
        """Return `syntax_digest_of_file` of a file whose content has the digest ``content``."""
        if self._known is None:
            self._known = self._read()
        if content not in self._known:
            found = syntax_digest_of_file(path)
            if digest_file(path) != content:
                return found  # it was edited between the two looks
            self._known[content] = self._new[content] = found
        return self._known[content]

    def save(self) -> None:
        """Write what is new, together with what other processes have written meanwhile."""
        if not self._new:
            return
        kept = list({**self._read(), **self._new}.items())[-_MAX_KEPT:]
        # Without a cache, as where the home folder is full or is not the user's own, each command computes it again.
        with contextlib.suppress(OSError), replace_file(self._file) as beside:
            beside.write_text(json.dumps({"made_by": _MADE_BY, "digests": dict(kept)}), encoding="utf-8")
        self._new = {}

    def _read(self) -> Digests:
        try:
            table = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        found = table.get("digests") if isinstance(table, dict) and table.get("made_by") == _MADE_BY else None
        return found if isinstance(found, dict) else {}
