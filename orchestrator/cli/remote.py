"""Runs a command on a login host as if it ran here: sends the files that it needs, and fetches those that it writes."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from seedfold.jobs.errors import UsageError, count_noun
from seedfold.orchestrator.cli.call import add_folder_to_import_path, get_root_option
from seedfold.orchestrator.cli.console import print_note
from seedfold.orchestrator.login.connection import Connection, is_on_terminal
from seedfold.orchestrator.login.project_files import Project, content_digest, gather_code, gather_project
from seedfold.orchestrator.login.remote_command import CALLER_VERSION, WATCH_STANDARD_INPUT, seedfold_line, shell_line
from seedfold.orchestrator.login.stream_protocol import Wire
from seedfold.orchestrator.settings.login import LOGIN_VARIABLE, THIS_MACHINE, LoginHost, is_login_override
from seedfold.orchestrator.settings.site import site_cluster_overrides
from seedfold.results.store.named_output import open_output, refuse_existing, refuse_folder

_PROJECT_COMMANDS = ("plan", "launch", "render")
_OUTPUT_OPTIONS = {"plan": "file", "results": "out", "compare": "out", "report": "out", "export": "file"}
_PASSED_VARIABLES = ("COLUMNS", "NO_COLOR")
_MAX_LISTED = 3


def remote_environment() -> dict[str, str]:
    """The environment variables for Seedfold on the host: it does the work itself; the caller; the screen's width."""
    variables = {name: os.environ[name] for name in _PASSED_VARIABLES if name in os.environ}
    return {CALLER_VERSION: version("seedfold"), LOGIN_VARIABLE: THIS_MACHINE, **variables}


def run_remotely(context: click.Context, login: LoginHost) -> int:
    """Run the command of this context on a login host; return its exit code."""
    return _RemoteCall(context, login).run()


@dataclass(frozen=True)
class _RemoteCall:
    context: click.Context
    login: LoginHost

    @cached_property
    def connection(self) -> Connection:
        return Connection(self.login)

    @property
    def name(self) -> str:
        assert self.context.info_name is not None
        return self.context.info_name

    @property
    def root(self) -> str | None:
        return get_root_option(self.context) or self.login.root

    @cached_property
    def overrides(self) -> list[str]:
        """The given overrides without the login host; for a new study they follow those of this machine's site file."""
        given_overrides: Sequence[str] = self.context.params.get("overrides", ())
        site_overrides = site_cluster_overrides(given_overrides) if self.name in _PROJECT_COMMANDS else []
        return [*site_overrides, *(override for override in given_overrides if not is_login_override(override))]

    def run(self) -> int:
        changes: dict[str, Any] = {"root": self.root, "overrides": self.overrides}
        folder = None
        self._refuse_to_render_here()
        if self.name in _PROJECT_COMMANDS:
            project = self._gather_project()
            changes["config_dirs"] = project.config_dirs
            changes["root"], folder = self._send_project(project)
        elif self.name in {"resume", "rerun"} and self.context.params["folder"] is None:
            changes["root"], changes["folder"] = self._send_current_code()
        else:
            self.connection.check_reachable()
        output_file = self.context.params.get(_OUTPUT_OPTIONS.get(self.name, ""))
        if output_file is None or output_file == "-":
            return self._run_attached(changes, folder)
        return self._run_and_fetch_file(changes, folder, Path(output_file))

    def _refuse_to_render_here(self) -> None:
        if self.name == "render" and not Path(self.context.params["out"]).is_absolute():
            raise UsageError(
                f"--out: files are rendered on {self.login.host}; write the absolute path of a folder there"
            )

    # --- sending ---------------------------------------------------------------------------------------------

    def _gather_project(self) -> Project:
        add_folder_to_import_path()
        return gather_project(self.overrides, self.context.params["config_dirs"], Path.cwd())

    def _send_project(self, project: Project) -> tuple[str, str]:
        with self.connection.open_wire(self._receive_line()) as wire:
            root = str(wire.receive_message()["root"])
            return root, _send_missing_files(wire, project)

    def _send_current_code(self) -> tuple[str, str | None]:
        """Send today's code of a study whose modules are here.

        If there are none here, the study runs the code of its last run.
        """
        study_option = (
            [] if self.context.params.get("code") == "original" else ["--study", self.context.params["study"]]
        )
        with self.connection.open_wire(self._receive_line(*study_option)) as wire:
            greeting = wire.receive_message()
            project = gather_code(greeting["modules"], Path.cwd())
            return str(greeting["root"]), _send_missing_files(wire, project) if project.files else None

    def _receive_line(self, *study_option: str) -> str:
        root = ["--root", self.root] if self.root else []
        return seedfold_line(self.login, ["receive", *root, *study_option], remote_environment())

    # --- running and fetching
    # ---------------------------------------------------------------------------------------------

    def _command_line(self, changes: Mapping[str, Any], folder: str | None, on_terminal: bool) -> str:
        environment = remote_environment() | ({} if on_terminal else {WATCH_STANDARD_INPUT: "1"})
        return seedfold_line(self.login, list(_command_words(self.context, changes)), environment, folder, on_terminal)

    def _run_attached(self, changes: Mapping[str, Any], folder: str | None) -> int:
        sys.stdout.flush()
        if is_on_terminal():
            return self.connection.run_on_terminal(self._command_line(changes, folder, on_terminal=True))
        return self.connection.run_streaming(self._command_line(changes, folder, on_terminal=False), _write_output)

    def _run_and_fetch_file(self, changes: Mapping[str, Any], folder: str | None, file: Path) -> int:
        """Let the command write a file in a new folder on the host, and fetch it with those that are written beside it.

        There is no file if the command failed.
        """
        if self.name == "export":
            refuse_existing(file)
        else:
            refuse_folder("--jobs" if self.name == "plan" else "--out", file)
        remote_folder = f"/tmp/seedfold-{os.urandom(8).hex()}"
        remote_file = f"{remote_folder}/{file.name}"
        self.connection.output_of(shell_line(f"mkdir -m 700 {remote_folder}"))
        output: list[bytes] = []
        line = self._command_line({**changes, _OUTPUT_OPTIONS[self.name]: remote_file}, folder, on_terminal=False)
        code = self.connection.run_streaming(line, output.append)
        if code == 0:
            self._fetch_files(remote_folder, file)
        self.connection.output_of(shell_line(f"rm -rf {remote_folder}"))
        folder_here = str(file).removesuffix(file.name)
        _write_output(b"".join(output).replace(os.fsencode(f"{remote_folder}/"), os.fsencode(folder_here)))
        return code

    def _fetch_files(self, remote_folder: str, file: Path) -> None:
        names = os.fsdecode(self.connection.output_of(shell_line(f"ls -A {remote_folder}"))).splitlines()
        targets = {name: file if name == file.name else file.with_name(name) for name in names}
        if self.name == "export":
            for target in targets.values():
                refuse_existing(target)
        for name, target in targets.items():
            data = self.connection.output_of(shell_line(f"cat < {shlex.quote(f'{remote_folder}/{name}')}"))
            with open_output(target) as written:
                written.write(data)


def _write_output(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _send_missing_files(wire: Wire, project: Project) -> str:
    """Send those files of a project that are not on the host yet; return the project's folder there."""
    _print_left_out(project.left_out)
    digests = {name: content_digest(source) for name, source in project.files.items()}
    contents = {content_digest(source): source.content or b"" for source in project.files.values()}
    wire.send_message(files=digests)
    missing: list[str] = wire.receive_message()["missing"]
    wire.send_message(sizes=[len(contents[one]) for one in missing])
    for one in missing:
        wire.send_bytes(contents[one])
    wire.flush()
    return str(wire.receive_message()["folder"])


def _print_left_out(names: Sequence[str]) -> None:
    if names:
        more = ", …" if len(names) > _MAX_LISTED else ""
        listed = f"{', '.join(names[:_MAX_LISTED])}{more}"
        text = f"{count_noun(len(names), 'large or compiled file')} of your packages were not sent: {listed}"
        print_note(text)


def _command_words(context: click.Context, changes: Mapping[str, Any]) -> Iterator[str]:
    """The arguments for calling this command again, with some values changed."""
    assert context.info_name is not None
    yield context.info_name
    arguments: list[str] = []
    for parameter in context.command.params:
        name = parameter.name
        if name is None or name == "login" or (name not in changes and not _is_given(context, name)):
            continue
        value = changes.get(name, context.params.get(name))
        if isinstance(parameter, click.Argument):
            arguments += map(str, value if isinstance(value, list | tuple) else [value])
        elif isinstance(parameter, click.Option):
            yield from _option_words(parameter, value)
    yield from ("--", *arguments)


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _option_words(option: click.Option, value: Any) -> Iterator[str]:
    name = max(option.opts, key=len)
    if option.is_flag:
        # Options that are not parameters of the command function, such as --debug, were given if they are here.
        yield name if value in {None, True} else option.secondary_opts[0]
        return
    for one in value if isinstance(value, list | tuple) else [value]:
        if one is not None:
            yield from (name, str(one))
