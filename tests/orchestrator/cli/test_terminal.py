"""No command lets a text of a job, a study or an error control the terminal."""

from __future__ import annotations

import ast
import io
import json
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest
from toyproject import SEEDFOLD, Toy

import seedfold.orchestrator.cli
from seedfold.orchestrator.cli.console import print_bytes

EVIL = "\x1b]0;owned\x07 \x1b]52;c;ZWNobw==\x1b\\ \x1b[2J \x9b2J \x08\x7f \u202egpj"
SHOWN = "\\x08\\x7f \\u202egpj"
UNSAFE = {chr(code) for code in (*range(9), 11, 12, *range(14, 32), *range(127, 160), *range(0x202A, 0x202F))}

MODULE = f"""
EVIL = {EVIL!r}

def run(work):
    print("log", EVIL)
    if work.config["seed"]:
        raise ValueError("reason " + EVIL)
    (work.staging / "answer.txt").write_text("1")
"""
STUDY = """# @package _global_
study: evil
run: toy.evil.run
tag: ""
seed: 0
paths: {data: data}
resources: {cpus: 1, memory: 1GB, time: 5min}
matrix:
  seed: [0, 1]
  tag: ["\\e]0;owned\\a\\u202egpj"]
"""
LAUNCH = ("launch", "-cd", "conf", "experiment=evil")


def unsafe(text: str) -> set[str]:
    return UNSAFE & set(text)


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> tuple[Toy, str]:
    """A study whose texts are evil, and what its launch printed."""
    from toyproject import make_toy

    toy = make_toy(tmp_path_factory.mktemp("evil"))
    (toy.folder / "toy" / "evil.py").write_text(MODULE)
    toy.write_experiment("evil", STUDY)
    ended = toy.run_in_process(*LAUNCH)
    assert ended.returncode == 1, ended.stderr
    toy.wait_for_workers()
    return toy, ended.stdout + ended.stderr


@pytest.mark.slow
def test_the_texts_are_shown_harmless(evil: tuple[Toy, str]) -> None:
    toy, launched = evil
    assert SHOWN in launched
    assert unsafe(launched) == set()
    for command in (
        *(("status", "evil"), ("status", "evil", "--by", "tag"), ("watch", "evil")),
        *(("show", "seed=1"), ("explain", "seed=0", "seed=1"), ("results", "evil", "runs"), ("gc", "evil")),
        *(("plan", "-cd", "conf", "experiment=evil"), ("resume", "evil", "--where", "seed=7"), ("doctor", "evil")),
        *(("status", "evil", "--where", f"tag={EVIL}"), ("show", f"seed=3{EVIL}"), ("results", f"evil{EVIL}")),
        *(("launch", f"experiment={EVIL}"), (f"la{EVIL}unch",), ("status", "evil", f"--{EVIL}")),
        *(("status", f"evil{EVIL}", "--debug"), ("report", "evil"), ("cancel", "evil", "--where", f"{EVIL}=1")),
    ):
        ended = toy.run_in_process(*command)
        assert ended.stdout + ended.stderr
        assert unsafe(ended.stdout + ended.stderr) == set(), command
    assert SHOWN in toy.run_in_process("status", "evil").stdout


def test_json_is_harmless_and_keeps_the_texts(evil: tuple[Toy, str]) -> None:
    toy, _ = evil
    for command in (("status", "evil"), ("show", "seed=1")):
        printed = toy.output_of(*command, "--json")
        assert unsafe(printed) == set()
        assert EVIL.split()[-1] in json.dumps(json.loads(printed), ensure_ascii=False)
    descriptions = toy.output_of("plan", "-cd", "conf", "experiment=evil", "--jobs", "-")
    assert unsafe(descriptions) == set()
    assert [json.loads(line)["config"]["tag"] for line in descriptions.splitlines()] == [
        "\x1b]0;owned\x07\u202egpj"
    ] * 2


def test_a_log_is_harmless_unless_it_is_asked_for_raw(evil: tuple[Toy, str]) -> None:
    toy, _ = evil
    for follow in ((), ("-f",)):
        assert SHOWN in toy.output_of("logs", "seed=1", *follow)
        assert unsafe(toy.output_of("logs", "seed=1", *follow)) == set()
    assert EVIL in toy.output_of("logs", "seed=1", "--raw")


def test_tables_for_programs_are_harmless_on_a_terminal_alone(
    evil: tuple[Toy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    toy, _ = evil
    exact = toy.output_of("results", "evil", "runs", "--format", "csv")
    assert "\x1b]0;owned\x07" in exact

    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    terminal = Terminal(io.BytesIO())
    monkeypatch.setattr("sys.stdout", terminal)
    print_bytes(exact.encode())
    shown: Any = terminal.buffer
    assert unsafe(shown.getvalue().decode()) == set()


def test_a_parquet_file_is_not_for_a_terminal(evil: tuple[Toy, str]) -> None:
    toy, _ = evil
    _own, other = pty.openpty()
    ended = subprocess.run(
        [SEEDFOLD, "results", "evil", "runs", "--format", "parquet"],
        cwd=toy.folder,
        env=toy.environment,
        stdout=other,
        stderr=subprocess.PIPE,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr == b"seedfold: --format parquet: is not for a terminal; add --out FILE\n"


def test_commands_print_through_the_console_alone() -> None:
    """`logs` prints a log, which is filtered where it is read."""
    for file in Path(seedfold.orchestrator.cli.__file__).parent.glob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        printing = {
            ast.unparse(call)
            for call in calls
            if ast.unparse(call)
            in {
                "print",
                "traceback.print_exception",
                "click.echo",
                "click.secho",
                "sys.stdout.write",
                "sys.stderr.write",
            }
        }
        assert not printing or file.name in {"console.py", "logs.py"}, file.name
