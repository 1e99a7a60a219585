"""Answers on one address of this machine until it is told to stop."""

from __future__ import annotations

import errno
import importlib
import socket
import threading
from collections.abc import Collection
from contextlib import closing, suppress

import uvicorn

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.page.access import LOCAL_NAMES, AccessRules
from seedfold.orchestrator.page.application import Page, make_application
from seedfold.orchestrator.page.changes import Changes

LOOPBACK = "127.0.0.1"
_BACKLOG = 128
_END_S = 1


def open_socket(host: str, port: int) -> socket.socket:
    """Listen at an address; with port 0 at any free port.

    Raises UsageError if the port is taken, or the address is none of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise UsageError(f"--host {host}: {error.strerror}; name an address of this machine") from error
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind(address)
        opened.listen(_BACKLOG)
    except OSError as error:
        opened.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"--port {port}: is taken by another program; leave it out to use a free one") from error
        raise UsageError(f"--host {host} --port {port}: {error.strerror}; choose another") from error
    return opened


def serve(root: Root, opened: socket.socket, token: str, names: Collection[str]) -> None:
    """Answer until SIGINT or SIGTERM. ``names`` are those by which others than this machine may call it."""
    rules = AccessRules(token, LOCAL_NAMES | set(names), any_address=bool(names))
    page = Page(root)
    # The log of requests would hold the token.
    config = uvicorn.Config(
        make_application(page, rules),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_END_S,
    )
    threading.Thread(target=_import_what_takes_long, daemon=True).start()
    # Ctrl-C is the way to end it.
    with closing(opened), suppress(KeyboardInterrupt):
        _Server(config, page.changes).run(sockets=[opened])


class _Server(uvicorn.Server):
    """A server that first tells those who listen to changes that it stops, instead of breaking off their streams."""

    def __init__(self, config: uvicorn.Config, changes: Changes) -> None:
        super().__init__(config)
        self._changes = changes

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and wait for what is being answered."""
        self._changes.close()
        await super().shutdown(sockets)


def _import_what_takes_long() -> None:
    """Import what tables and curves need, while the first questions are answered that need none of it."""
    for name in ("headline_table", "evaluation", "predictions"):
        importlib.import_module(f"seedfold.orchestrator.page.{name}")
