from __future__ import annotations

import os
import py_compile
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seedfold.orchestrator.code.cached_bytecode import cached_bytecode, write_bytecode
from seedfold.orchestrator.code.source_files import SourceFile

CONTENT = b"print('this', __file__)\n"


def write_module(folder: Path, *, age_s: float = 60.0) -> Path:
    """A module that was written some time ago and has been compiled since."""
    folder.mkdir(exist_ok=True)
    file = folder / "said.py"
    file.write_bytes(CONTENT)
    then = time.time() - age_s
    os.utime(file, (then, then))
    py_compile.compile(str(file), doraise=True)
    return file


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    """Import the module, and have Python say what it reads."""
    return subprocess.run([sys.executable, "-v", "-c", "import said"], cwd=folder, text=True, capture_output=True)


@pytest.mark.parametrize("was_imported", [True, False])
def test_a_copy_is_imported_without_compiling_it(tmp_path: Path, was_imported: bool) -> None:
    source, copy = write_module(tmp_path / "here"), tmp_path / "there"
    if not was_imported:
        next(tmp_path.glob("here/__pycache__/*.pyc")).unlink()
    copy.mkdir()
    (copy / "said.py").write_bytes(CONTENT)
    write_bytecode(copy, {"said.py": SourceFile(source, CONTENT)})
    ran = run(copy)
    assert ran.stdout == f"this {copy / 'said.py'}\n"
    assert "code object from '" + str(copy / "said.py") not in ran.stderr
    (copy / "said.py").write_bytes(CONTENT.replace(b"this", b"those"))
    assert run(copy).stdout == f"those {copy / 'said.py'}\n"


@pytest.mark.parametrize("change", ["other content", "edited", "just written", "not compiled", "damaged", "gone"])
def test_bytecode_that_may_be_of_another_source_is_left_out(tmp_path: Path, change: str) -> None:
    file = write_module(tmp_path, age_s=0.5 if change == "just written" else 60.0)
    cached = next(tmp_path.glob("__pycache__/*.pyc"))
    content = CONTENT
    if change == "other content":
        content += b"\n"
    elif change == "edited":
        os.utime(file, (time.time() - 30.0,) * 2)
    elif change == "not compiled":
        cached.unlink()
    elif change == "damaged":
        cached.write_bytes(cached.read_bytes()[:10])
    elif change == "gone":
        file.unlink()
    assert cached_bytecode(file, content) is None
