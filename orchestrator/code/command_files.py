"""The files that count as the code of a command: its script, the local modules that it imports, and those named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seedfold.jobs.command import COMMAND_RUN, Command
from seedfold.jobs.description import JobDescription
from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.orchestrator.code.digests import is_installed
from seedfold.orchestrator.code.source_files import (
    SourceFiles,
    named_modules,
    program_scripts,
    read_named_files,
    read_source_files,
)


@dataclass(frozen=True)
class CommandCode:
    """What a command names as its code: its script, the module that it runs, and other files and folders."""

    script: str | None
    module: str | None
    others: tuple[str, ...]

    @classmethod
    def of(cls, command: Command) -> CommandCode:
        """Return what a command names; the points of a study usually name the same."""
        return cls(command.script, command.module, command.code)

    def files(self, folder: Path) -> dict[str, Path]:
        """Return the files and folders that it names in ``folder``, by their names in a snapshot."""
        named = [folder / name for name in (*([self.script] if self.script else []), *self.others)]
        return {_name_below(path, folder): path for path in named if path.exists() and not is_installed(str(path))}

    def read(self, folder: Path) -> SourceFiles:
        """Read these, and the local modules that its Python files import."""
        files = self.files(folder)
        folders = dict.fromkeys(str(path.parent) for path in files.values() if path.suffix == ".py")
        sources = read_named_files(files, [self.module.partition(".")[0]] if self.module else [], folder, folders)
        # A script imports from its own folder, wherever that is below the folder of the launch.
        return replace(
            sources,
            files={
                _name_below(source.path, folder) if source.path.is_relative_to(folder) else name: source
                for name, source in sources.files.items()
            },
        )


def _name_below(path: Path, folder: Path) -> str:
    relative = os.path.relpath(path, folder)
    return path.name if relative.startswith("..") else relative


def _commands_of(jobs: Iterable[JobDescription]) -> dict[CommandCode, Command]:
    """Return one command for each code. Raises UsageError for a job whose command is not written as one."""
    commands = (Command.from_config(job.config) for job in jobs if job.run == COMMAND_RUN)
    return {CommandCode.of(command): command for command in commands}


def refuse_missing_commands(jobs: Iterable[JobDescription], folder: Path) -> None:
    """Raise UsageError for a command whose program, script or code is not found from ``folder``."""
    for code, command in _commands_of(jobs).items():
        for key, name in (("command", code.script), *(("code", name) for name in code.others)):
            if name is not None and not (folder / name).exists():
                near = did_you_mean(name, (path.name for path in folder.iterdir()))
                raise UsageError(f"{key}: {name} does not exist in {folder}{near}")
        program = command.words[0]
        if program != code.script and not command.starts_python and shutil.which(program) is None:
            raise UsageError(f"command: {program} is not found here; give its path, or load its module first")


def read_job_code(jobs: Iterable[JobDescription], folder: Path, extra_folders: Iterable[str] = ()) -> SourceFiles:
    """Read the code of jobs launched in ``folder``: modules that they name, what these import, and their commands."""
    jobs = list(jobs)
    sources, folders = SourceFiles({}, (), ()), tuple(extra_folders)
    for script in program_scripts(jobs):
        # A module of the same name in another folder is not the program.
        sources = sources.joined_with(read_named_files({script.name: script}, [], script.parent, folders))
    sources = sources.joined_with(read_source_files(named_modules(jobs), folder, folders))
    for code in _commands_of(jobs):
        sources = sources.joined_with(code.read(folder))
    return sources


def command_code(config: Mapping[str, Any], folders: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """Yield name and path of each file of a command's code, as the first of ``folders`` has it that has any."""
    code = CommandCode.of(Command.from_config(config))
    found = next(filter(None, (code.read(folder).files for folder in folders)), {})
    return ((name, source.path) for name, source in found.items())
