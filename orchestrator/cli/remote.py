"""Running a command on a login host as if it ran here: the words it was called with, what it needs, what it wrote."""

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

from seedfold.jobs.errors import UsageError, counted
from seedfold.orchestrator.cli.call import import_from_here, root_as_given
from seedfold.orchestrator.login.connection import Connection, on_terminal
from seedfold.orchestrator.login.project import Project, digest, gather, gather_code
from seedfold.orchestrator.login.remote_command import CALLER, LEASH, seedfold_line, shell_line
from seedfold.orchestrator.settings.login import HERE, VARIABLE, Login, is_login
from seedfold.orchestrator.settings.site import cluster_overrides
from seedfold.results.store.atomic_files import replacing

_OF_A_STUDY = ("plan", "launch", "render")
_WRITES = {"plan": "file", "results": "out", "report": "out"}
_PASSED_ON = ("COLUMNS", "NO_COLOR")
_SHOWN = 3


def environment_there() -> dict[str, str]:
    """What a Seedfold there has to know: that it is to do the work itself, who asks, and for what screen."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {CALLER: version("seedfold"), VARIABLE: HERE, **passed}


def run_there(context: click.Context, login: Login) -> int:
    """Run the command of this context on a login host; return its exit code."""
    return _Call(context, login).run()


@dataclass(frozen=True)
class _Call:
    context: click.Context
    login: Login

    @cached_property
    def connection(self) -> Connection:
        return Connection(self.login)

    @property
    def name(self) -> str:
        assert self.context.info_name is not None
        return self.context.info_name

    @property
    def root(self) -> str | None:
        return root_as_given(self.context) or self.login.root

    @cached_property
    def overrides(self) -> list[str]:
        """Those given, without the login host; for a new study behind those of this machine's site file."""
        given: Sequence[str] = self.context.params.get("overrides", ())
        own = cluster_overrides(given) if self.name in _OF_A_STUDY else []
        return [*own, *(override for override in given if not is_login(override))]

    def run(self) -> int:
        changes: dict[str, Any] = {"root": self.root, "overrides": self.overrides}
        folder = None
        self._refuse_to_render_here()
        if self.name in _OF_A_STUDY:
            project = self._gather()
            changes["config_dirs"] = project.config_dirs
            changes["root"], folder = self._send(project)
        elif self.name == "resume" and self.context.params["folder"] is None:
            changes["root"], changes["folder"] = self._send_again()
        else:
            self.connection.reach()
        written = self.context.params.get(_WRITES.get(self.name, ""))
        if written is None or written == "-":
            return self._attend(changes, folder)
        return self._attend_and_bring(changes, folder, Path(written))

    def _refuse_to_render_here(self) -> None:
        if self.name == "render" and not Path(self.context.params["out"]).is_absolute():
            raise UsageError(f"--out: commands are rendered on {self.login.host}; name the folder there, /…")

    # --- what goes there ---------------------------------------------------------------------------------------------

    def _gather(self) -> Project:
        import_from_here()
        return gather(self.overrides, self.context.params["config_dirs"], Path.cwd())

    def _send(self, project: Project) -> tuple[str, str]:
        with self.connection.talk(self._receiver()) as wire:
            root = str(wire.hear()["root"])
            return root, _hand_over(wire, project)

    def _send_again(self) -> tuple[str, str | None]:
        """Send today's code of a study whose modules are here; where none is, it runs what it ran last."""
        asked = [] if self.context.params["code"] == "original" else ["--study", self.context.params["study"]]
        with self.connection.talk(self._receiver(*asked)) as wire:
            hello = wire.hear()
            project = gather_code(hello["modules"], Path.cwd())
            return str(hello["root"]), _hand_over(wire, project) if project.files else None

    def _receiver(self, *asked: str) -> str:
        root = ["--root", self.root] if self.root else []
        return seedfold_line(self.login, ["receive", *root, *asked], environment_there())

    # --- what comes back ---------------------------------------------------------------------------------------------

    def _line(self, changes: Mapping[str, Any], folder: str | None, terminal: bool) -> str:
        environment = environment_there() | ({} if terminal else {LEASH: "1"})
        return seedfold_line(self.login, list(_words(self.context, changes)), environment, folder, terminal)

    def _attend(self, changes: Mapping[str, Any], folder: str | None) -> int:
        sys.stdout.flush()
        if on_terminal():
            return self.connection.sit_at(self._line(changes, folder, terminal=True))
        return self.connection.listen(self._line(changes, folder, terminal=False), _print)

    def _attend_and_bring(self, changes: Mapping[str, Any], folder: str | None, file: Path) -> int:
        """Have a file written in a folder of its own there, and bring it; where the command failed there is none."""
        if file.is_dir():
            raise UsageError(f"{file}: is a folder; name a file")
        away = f"/tmp/seedfold-{os.urandom(8).hex()}"
        there = f"{away}/{file.name}"
        self.connection.ask(shell_line(f"mkdir -m 700 {away}"))
        said: list[bytes] = []
        line = self._line({**changes, _WRITES[self.name]: there}, folder, terminal=False)
        code = self.connection.listen(line, said.append)
        if code == 0:
            data = self.connection.ask(shell_line(f"cat < {shlex.quote(there)}"))
            with replacing(file.absolute()) as beside:
                beside.write_bytes(data)
        self.connection.ask(shell_line(f"rm -rf {away}"))
        _print(b"".join(said).replace(os.fsencode(there), os.fsencode(file)))
        return code


def _print(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _hand_over(wire: Any, project: Project) -> str:
    """Send what of a project is not there yet; return its folder there."""
    _tell_left_out(project.left_out)
    table = {name: digest(source) for name, source in project.files.items()}
    contents = {digest(source): source.content or b"" for source in project.files.values()}
    wire.tell(files=table)
    missing: list[str] = wire.hear()["missing"]
    wire.tell(sizes=[len(contents[one]) for one in missing])
    for one in missing:
        wire.send(contents[one])
    wire.flush()
    return str(wire.hear()["folder"])


def _tell_left_out(names: Sequence[str]) -> None:
    if names:
        more = ", …" if len(names) > _SHOWN else ""
        listed = f"{', '.join(names[:_SHOWN])}{more}"
        text = f"{counted(len(names), 'large or compiled file')} of your packages stayed here: {listed}"
        print(f"seedfold: {text}", file=sys.stderr)


def _words(context: click.Context, changes: Mapping[str, Any]) -> Iterator[str]:
    """The words by which to call this command again, with some values changed."""
    assert context.info_name is not None
    yield context.info_name
    behind: list[str] = []
    for parameter in context.command.params:
        name = parameter.name
        if name is None or name == "login" or (name not in changes and not _is_given(context, name)):
            continue
        value = changes.get(name, context.params.get(name))
        if isinstance(parameter, click.Argument):
            behind += map(str, value if isinstance(value, list | tuple) else [value])
        elif isinstance(parameter, click.Option):
            yield from _option(parameter, value)
    yield from ("--", *behind)


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _option(option: click.Option, value: Any) -> Iterator[str]:
    name = max(option.opts, key=len)
    if option.is_flag:
        # What is not handed to the command, such as --debug, was given if it is here.
        yield name if value in {None, True} else option.secondary_opts[0]
        return
    for one in value if isinstance(value, list | tuple) else [value]:
        if one is not None:
            yield from (name, str(one))
