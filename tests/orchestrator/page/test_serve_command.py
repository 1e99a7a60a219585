"""``seedfold serve`` as a process of its own, asked over loopback."""

from __future__ import annotations

import json
import re
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from toyproject import Toy, read_files

from seedfold.orchestrator.cli import serve
from seedfold.orchestrator.page.server import open_socket

TOKEN = "a-token-for-tests"


def get(address: str) -> Any:
    # Not through a proxy of the machine that runs the tests.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address, timeout=120) as answer:
        return answer.read()


def lines_until(stream: Any, text: str) -> Iterator[str]:
    while line := stream.readline():
        yield line
        if text in line:
            return
    pytest.fail(f"it ended and never printed {text!r}")


def test_it_prints_a_link_answers_there_and_ends_with_ctrl_c(finished: Toy) -> None:
    before = read_files(finished.root)
    process = finished.start("serve", "--token", TOKEN)
    try:
        printed = "".join(lines_until(process.stdout, "ssh -N -L"))
        [(address, port)] = re.findall(r"(http://127\.0\.0\.1:(\d+))/\?token=a-token-for-tests", printed)
        assert f"ssh -N -L {port}:127.0.0.1:{port} " in printed
        [study] = json.loads(get(f"{address}/api/studies?token={TOKEN}"))
        assert (study["study"], study["states"]["done"]) == ("toy", 6)
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(f"{address}/api/studies")
        assert refused.value.code == 401
        busy = finished.run_in_process("serve", "--port", port)
        assert (busy.returncode, busy.stderr.count("\n")) == (2, 1)
        assert f"--port {port}: is taken by another program" in busy.stderr
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.communicate()
    assert read_files(finished.root) == before


def test_another_address_needs_an_option_and_gives_a_warning(finished: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Any] = []
    monkeypatch.setattr("seedfold.orchestrator.page.server.serve", lambda *args: served.append(args))
    ended = finished.run_in_process("serve", "--host", "0.0.0.0")
    assert ended.returncode == 0
    assert "--host 0.0.0.0: other machines can reach this page" in ended.stderr
    assert "ssh -N" not in ended.stdout
    [(_, opened, token, names)] = served
    opened.close()
    assert len(token) > 20
    assert socket.gethostname() in names


def test_each_start_has_a_token_of_its_own(finished: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "seedfold.orchestrator.page.server.serve", lambda root, opened, token, names: opened.close() or names
    )
    tokens = {re.search(r"token=(\S+)", finished.output_of("serve"))[1] for _ in range(2)}  # type: ignore[index]
    assert len(tokens) == 2


@pytest.mark.parametrize("token", ["", "a b", "a&b=c", "<script>", "ü" * 20])
def test_a_token_fits_into_an_address(finished: Toy, token: str) -> None:
    ended = finished.run_in_process("serve", "--token", token)
    assert ended.returncode == 2
    assert ended.stderr.startswith("seedfold: --token: use letters")


def test_what_is_not_installed_is_named(finished: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_NEEDED", ("starlette", "uvicorn_of_nobody"))
    ended = finished.run_in_process("serve")
    assert ended.returncode == 2
    assert ended.stderr == "seedfold: serve: needs uvicorn_of_nobody; install them with pip install 'seedfold[serve]'\n"


def test_an_address_of_another_machine_is_refused(finished: Toy) -> None:
    ended = finished.run_in_process("serve", "--host", "203.0.113.7")
    assert ended.returncode == 2
    assert ended.stderr.startswith("seedfold: --host 203.0.113.7 --port 0: ")
    open_socket("127.0.0.1", 0).close()
