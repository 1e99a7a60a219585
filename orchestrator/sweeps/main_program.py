"""The main module of the process that launches a sweep, and its arguments: what jobs run again."""

from __future__ import annotations

import sys
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from seedfold.jobs.errors import UsageError
from seedfold.jobs.task_function import task_function_name
from seedfold.orchestrator.code.digests import is_installed


@dataclass(frozen=True)
class MainProgram:
    """The ``file`` of the main module, its name after ``python -m``, and the arguments with which it was started.

    A program may take arguments of its own out of ``sys.argv`` before Hydra reads the others; ``own_arguments`` are
    those.
    """

    file: Path
    module: str
    argv: tuple[str, ...]

    @property
    def own_arguments(self) -> tuple[str, ...]:
        """The arguments that Hydra did not see."""
        return tuple(_without(self.argv, sys.argv[1:]))


def find_main_program(function: Callable[..., Any]) -> MainProgram | None:
    """Return the main module that asked for a sweep of ``function``; None if it cannot be run again.

    The main module of a notebook has no file; that of a tool, such as pytest, would run the tool, and is left out if
    the function can be imported.
    """
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if file is None or not Path(file).is_file():
        return None
    path = Path(file).absolute()
    is_tool = is_installed(str(path)) or path.is_relative_to(sysconfig.get_path("scripts"))
    if is_tool and (is_installed(str(path)) or _can_be_imported(function)):
        return None
    spec = main.__spec__
    return MainProgram(path, "" if spec is None else spec.name, _given_arguments(main, path))


def study_name(job_name: str, function: Callable[..., Any], module: str) -> str:
    """Return the name of a sweep's study: the job's name.

    Hydra calls a job whose function is an object, such as that of ``zen(...)``, after the library that the object comes
    from. All programs with that library would be one study: theirs has the name of the program.
    """
    library = str(getattr(function, "__module__", None)).rpartition(".")[2]
    is_named_after_library = not hasattr(function, "__qualname__") and job_name == library
    return module.removesuffix(".__main__").rpartition(".")[2] if is_named_after_library else job_name


def _can_be_imported(function: Callable[..., Any]) -> bool:
    try:
        task_function_name(function)
    except UsageError:
        return False
    return True


def _given_arguments(main: ModuleType, file: Path) -> tuple[str, ...]:
    """Return what follows the program on the command line of this process, or is left of it."""
    words = sys.orig_argv
    for place, word in enumerate(words[1:], 1):
        if main.__spec__ is None:
            is_program = Path(word).name == file.name
        else:
            is_program = words[place - 1] == "-m" and main.__spec__.name in (word, f"{word}.__main__")
        if is_program:
            return tuple(words[place + 1 :])
    return tuple(sys.argv[1:])


def _without(words: tuple[str, ...], others: list[str]) -> Iterator[str]:
    left = Counter(others)
    for word in words:
        left[word] -= 1
        if left[word] < 0:
            yield word
