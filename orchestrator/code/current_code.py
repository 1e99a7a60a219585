"""The code that jobs would run if they were started now: files by the names that records of code have for them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from seedfold.orchestrator.code.digests import digest_file
from seedfold.orchestrator.code.source_files import find_module_paths
from seedfold.orchestrator.code.syntax_cache import SyntaxCache

GONE = "gone"
"""Stands for the digest of a file that its package or module does not have any more."""


class CurrentCode:
    """What jobs launched in ``folder`` would import. Each file is looked at once; ``extra_folders`` come last."""

    def __init__(self, folder: Path, extra_folders: Iterable[str] = ()) -> None:
        self._folder = folder
        self._extra_folders = tuple(extra_folders)
        self._paths: dict[str, list[Path] | None] = {}
        self._digests: dict[str, str | None] = {}
        self._syntax = SyntaxCache()

    def digest(self, name: str) -> str | None:
        """Return the digest of a file's content; None if its module is not found here, which does not mean a change."""
        if name not in self._digests:
            path = self._find(name)
            self._digests[name] = path if path is None or isinstance(path, str) else digest_file(path)
        return self._digests[name]

    def syntax(self, name: str) -> str | None:
        """Return the digest of a file's syntax; None where it has none."""
        path, content = self._find(name), self.digest(name)
        return self._syntax.digest(path, content) if isinstance(path, Path) and content is not None else None

    def keep_syntax(self) -> None:
        """Keep the digests of syntax that were computed, so that no later command computes them again."""
        self._syntax.save()

    def _find(self, name: str) -> Path | str | None:
        top, _, rest = name.partition("/")
        paths = self._module_paths(top.removesuffix(".py")) if top else None
        if not paths:
            # Of imported predictions, people may name any file.
            return self._folder / name if (self._folder / name).is_file() else None
        if not rest:
            return next((path for path in paths if path.name == top and path.is_file()), GONE)
        return next((path / rest for path in paths if (path / rest).is_file()), GONE)

    def _module_paths(self, name: str) -> list[Path] | None:
        if name not in self._paths:
            self._paths[name] = find_module_paths(name, self._folder, self._extra_folders)
        return self._paths[name]
