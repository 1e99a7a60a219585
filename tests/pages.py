"""The pages of the documentation, and running their blocks in order, each in what the blocks before it left.

A ```text block shows, in part and in order, the lines that the block before it prints; … stands for anything. Blocks
marked ```sh and ```yaml are for reading only.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from command_server import ForkingSys, forked_command, forked_python, training_command, training_python
from isolation import path_without_schedulers

from seedfold.orchestrator.schedulers import local
from seedfold.orchestrator.worker import template_start

HERE = Path(__file__).parent.parent
PAGES = [HERE / "README.md", *sorted((HERE / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(bash|python|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)

_TRAINS = re.compile("torch|lightning|experiment=|seedfold results .*(calibration|performance|quantification)")
"""What needs PyTorch, on a page."""


def blocks(page: Path) -> list[tuple[str, str]]:
    """The language and the text of every block that is run or compared."""
    return [(match[1], match[2]) for match in _BLOCK.finditer(page.read_text())]


def name_of(page: Path) -> str:
    """The path of a page within the project."""
    return str(page.relative_to(HERE))


def run_page(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the blocks of a page in an empty folder, and compare what they print with what the page shows.

    The environment stays as it was for the page until ``monkeypatch`` is undone.
    """
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    # Places for jobs belong to a machine and its temporary folder: ours are apart from those of other tests.
    (folder / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(folder / "tmp"))
    monkeypatch.setenv("COLUMNS", "100")
    # `seedfold doctor` finds fault with a scheduler that is installed and does not answer.
    path = path_without_schedulers(folder / "tmp" / "programs")
    trains = any(_TRAINS.search(text) for _, text in blocks(page))
    forked = [training_command(), training_python()] if trains else [forked_command(), forked_python()]
    for starter in (local, template_start):
        monkeypatch.setattr(starter, "sys", ForkingSys(training_python if trains else forked_python))
    folders = [str(program.parent) for program in (*forked, Path(sys.executable))]
    monkeypatch.setenv("PATH", os.pathsep.join([*folders, path]))
    monkeypatch.syspath_prepend(str(folder))
    names: dict[str, object] = {"__name__": "__main__"}
    code, printed = "", ""
    for language, text in blocks(page):
        if language == "text":
            missing = _missing(text, printed)
            assert missing is None, f"not printed: {missing}\n\n{code}\n{printed}"
        else:
            code, printed = text, _run(language, text, page, names)


def _run(language: str, code: str, page: Path, names: dict[str, object]) -> str:
    if language == "bash":
        ended = subprocess.run(["bash", "-euo", "pipefail", "-c", code], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{code}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout
    printed = StringIO()
    with redirect_stdout(printed):
        exec(compile(code, name_of(page), "exec"), names)
    return printed.getvalue()


def _missing(shown: str, printed: str) -> str | None:
    """The first line shown that is not printed, or not in that order."""
    rest = iter(printed.splitlines())
    for line in shown.splitlines():
        pattern = re.compile(".*".join(re.escape(part) for part in line.split("…")))
        if not any(pattern.fullmatch(found.rstrip()) for found in rest):
            return line
    return None
