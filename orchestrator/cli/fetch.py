"""``seedfold fetch SOURCE STUDY``: makes a copy of a study for reading, or updates it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from seedfold.jobs.errors import UsageError, count_noun
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import print_text, size_text
from seedfold.orchestrator.cli.remote import remote_environment
from seedfold.orchestrator.copies.fetching import ShowProgress, fetch
from seedfold.orchestrator.copies.source import LocalSource, RemoteSource, StudySource
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.login.connection import Connection
from seedfold.orchestrator.login.remote_command import seedfold_line
from seedfold.orchestrator.settings.login import LoginHost, get_login_host

_REMOTE = re.compile(r"([^/:]+):(.*)", re.DOTALL)


@click.command()
@click.argument("source")
@options.study
@click.option("--checkpoints", is_flag=True, help="Copy checkpoints too.")
@options.local
def command(source: str, study: str, checkpoints: bool, root: Root) -> None:
    """Copy a STUDY from another machine (USER@HOST:ROOT) or from a root in another folder, to read it here.

    The copy has descriptions, results and logs. If you fetch again, only new data is transferred. HOST: without a ROOT
    means the default root on that host.
    """
    with _open_source(source, root) as (place, opened), _progress_bar() as show:
        fetched = fetch(opened, place, study, root, checkpoints, show)
    for name, files in fetched.files.items():
        also = "" if name == study else f" (it has done jobs of {study})"
        print_text(f"{name}{also}: {count_noun(files, 'file')} fetched" if files else f"{name}{also}: nothing new")
    print_text(f"{size_text(fetched.bytes)}; to see the study: seedfold status {study}", style="dim")


@contextmanager
def _open_source(source: str, root: Root) -> Iterator[tuple[str, StudySource]]:
    remote = _REMOTE.fullmatch(source)
    if remote is None:
        yield "", LocalSource(_local_root(source, root))
        return
    configured = get_login_host(remote[1])
    login: LoginHost = replace(configured, root=remote[2] or configured.root)
    words = ["send", *(["--root", login.root] if login.root else [])]
    with Connection(login).open_wire(seedfold_line(login, words, remote_environment())) as wire:
        yield login.host, RemoteSource(wire)


def _local_root(source: str, root: Root) -> Root:
    folder = Path(source).expanduser().absolute()
    if not folder.is_dir():
        raise UsageError(f"{source}: no such folder; write USER@HOST:ROOT for another machine")
    if folder.resolve() == root.path.resolve():
        raise UsageError(f"{source}: is the root into which the copy would be written; name another root with --root")
    return Root(folder)


@contextmanager
def _progress_bar() -> Iterator[ShowProgress]:
    """A progress bar in bytes, one for each listing of the source; only on a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    with Progress(
        BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
