"""``seedfold serve``: a page with all studies of the root, for a browser."""

from __future__ import annotations

import getpass
import importlib.util
import secrets
import socket
import sys

import click

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import print_note, print_text
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.settings.login import find_login_host

_NEEDED = ("starlette", "uvicorn")
_LOOPBACK = "127.0.0.1"
_ALL_ADDRESSES = ("0.0.0.0", "::")
_GUESSED_CHARACTERS = 16
_MOST_PORTS = 65535


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, _MOST_PORTS),
    default=0,
    metavar="N",
    help="Port to listen at; default: any that is free.",
)
@click.option(
    "--token",
    metavar="TOKEN",
    help="What a browser has to know to see the page; default: a new one each time.",
)
@click.option(
    "--host",
    default=_LOOPBACK,
    metavar="ADDRESS",
    help="Address to listen at; default: 127.0.0.1, which no other machine can reach.",
)
@options.local
def command(port: int, token: str | None, host: str, root: Root) -> None:
    """Serve a page with all studies of the root: progress, learning curves, tables, failures, logs. Ctrl-C ends it.

    Open the address that is printed. The page only shows: nothing is started, stopped or written. If this machine is
    not the one in front of you, run the printed ssh command there first.
    """
    _refuse_without_packages()
    token = secrets.token_urlsafe(24) if token is None else _checked(token)
    from seedfold.orchestrator.page.server import open_socket, serve

    is_private = host in (_LOOPBACK, "localhost")
    opened = open_socket(_LOOPBACK if is_private else host, port)
    _print_address(root, _LOOPBACK if is_private or host in _ALL_ADDRESSES else host, opened.getsockname()[1], token)
    if is_private:
        _print_ways_here(opened.getsockname()[1])
    else:
        print_note(
            f"--host {host}: other machines can reach this page, and anybody who can read what they send sees the"
            " token and all results; prefer ssh and no --host"
        )
    sys.stdout.flush()
    serve(root, opened, token, () if is_private else (host, socket.gethostname(), socket.getfqdn()))


def _print_address(root: Root, host: str, port: int, token: str) -> None:
    address = f"[{host}]" if ":" in host else host
    print_text(f"studies of {root.path}", f"open http://{address}:{port}/?token={token}")


def _print_ways_here(port: int) -> None:
    """Say how to reach the page from another machine, and that studies are elsewhere if a login host is configured."""
    there = f"{getpass.getuser()}@{socket.gethostname()}"
    print_text(f"from another machine, first run there: ssh -N -L {port}:{_LOOPBACK}:{port} {there}")
    login = find_login_host(None)
    if login is not None:
        print_note(
            f"studies on {login.host} are not shown: run seedfold serve there, and here the ssh line that it prints"
        )


def _refuse_without_packages() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"serve: needs {' and '.join(missing)}; install them with pip install 'seedfold[serve]'")


def _checked(token: str) -> str:
    """A token that fits into an address as it is. Raises UsageError for any other."""
    if not token.isascii() or not token.replace("-", "").replace("_", "").isalnum():
        raise UsageError("--token: use letters, digits, '-' and '_'; leave it out to have a new one made")
    if len(token) < _GUESSED_CHARACTERS:
        print_note(f"--token: one of fewer than {_GUESSED_CHARACTERS} characters is easily guessed by other users here")
    return token
