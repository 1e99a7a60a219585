"""The files of a user's code that this process has loaded: modules, and data files of packages that it has opened.

A module counts with the content that it had when `digest_loaded_files` first saw it: what is edited later is not what
the process runs. Seedfold's own modules do not count (see `seedfold.orchestrator.code.stage_versions`), nor do those
that come with an installation.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from operator import itemgetter
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

from seedfold.orchestrator.code.digests import digest_file, is_installed

OWN_PACKAGE = "seedfold"
_MAX_DATA_BYTES = 1_000_000
_NOT_DATA = (".py", ".pyc", ".so", ".pyd")

Modules: TypeAlias = Sequence[tuple[str, ModuleType]]

_digest_of_module: dict[Path, str] = {}
_opened: set[str] = set()
_hooks: list[object] = []


def digest_loaded_files() -> None:
    """Note the content of modules loaded since the last call, to be called soon after they were imported."""
    _digest_modules(_user_modules())


def _digest_modules(modules: Modules) -> Mapping[str, tuple[Path, str]]:
    """Note the content of modules that is not known yet; return (file, digest) of each by its name."""
    found = {}
    for name, path in _loaded_modules(modules):
        if path not in _digest_of_module and path.exists():
            _digest_of_module[path] = digest_file(path)
        if path in _digest_of_module:
            found[name] = path, _digest_of_module[path]
    return found


def watch_opened_files() -> None:
    """Note from now on which files this process opens for reading. Python has no way to stop that again."""
    if not _hooks:
        _hooks.append(_note_opened)
        sys.addaudithook(_note_opened)


def _note_opened(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open":
        return
    path, mode = arguments[0], arguments[1]
    if type(path) is str and (mode is None or "r" in str(mode)) and not path.endswith(_NOT_DATA):
        _opened.add(path)


def loaded_files() -> Mapping[str, tuple[Path, str]]:
    """Return (file, digest) by the name below the import root, such as ``lab/networks.py`` or ``lab/classes.json``."""
    modules = _user_modules()
    found = {**_digest_modules(modules)}
    for name, path in _opened_data_files(modules):
        found[name] = path, digest_file(path)
    return dict(sorted(found.items()))


def _loaded_modules(modules: Modules) -> Iterator[tuple[str, Path]]:
    for name, module in modules:
        path = Path(str(module.__file__))
        suffix = "/__init__.py" if path.name == "__init__.py" else ".py"
        yield name.replace(".", "/") + suffix, path
    yield from _main_program()


def _user_modules() -> Modules:
    """Return them by name. With PyTorch there are thousands of others, so it takes ten milliseconds."""
    # Of the module itself: the class of `torch.ops` has a file as well, `_ops.py`, which may be the name of a user's.
    files = ((name, module, getattr(module, "__dict__", {}).get("__file__")) for name, module in [*sys.modules.items()])
    found = [(name, module) for name, module, file in files if file and _is_of_user(name, file)]
    return sorted(found, key=itemgetter(0))


@cache
def _is_of_user(name: str, file: str) -> bool:
    """Whether a module is neither Seedfold's nor installed. This is asked of each module several times."""
    if not file.endswith(".py") or name in {"__main__", "__mp_main__"}:
        return False
    return name.partition(".")[0] != OWN_PACKAGE and not is_installed(file)


def _main_program() -> Iterator[tuple[str, Path]]:
    """The main module where it is a program that a job runs: the file that its loader has read, by its name."""
    main = sys.modules["__main__"]
    file = getattr(main.__loader__, "path", None)
    if file is None or is_installed(file):
        return
    name = Path(file).stem if main.__spec__ is None else main.__spec__.name
    if name.partition(".")[0] != OWN_PACKAGE:
        yield f"{name.replace('.', '/')}{Path(file).suffix}", Path(file)


def _opened_data_files(modules: Modules) -> Iterator[tuple[str, Path]]:
    """Small files within the folders of top-level packages. A larger one is data rather than code."""
    packages = [(f"{folder}{os.sep}", name) for name, folder in _package_folders(modules)]
    for opened in {os.path.abspath(path) for path in _opened}:  # noqa: PTH100
        for folder, name in packages:
            if opened.startswith(folder) and Path(opened).is_file() and Path(opened).stat().st_size <= _MAX_DATA_BYTES:
                yield f"{name}/{opened.removeprefix(folder)}", Path(opened)


def _package_folders(modules: Modules) -> Iterator[tuple[str, str]]:
    for name in {name.partition(".")[0] for name, _ in modules}:
        for folder in getattr(sys.modules.get(name), "__path__", ()):
            yield name, str(folder)
