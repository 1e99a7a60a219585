"""A study that nobody wants is removed with its folder, its configuration and its tests; nothing else misses them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import seedfold

HERE = Path(__file__).parents[3]
STUDY = "seti"
_CHECK = """
import importlib, pkgutil, sys
from pathlib import Path
import seedfold
from seedfold.jobs.study import load_study

for module in pkgutil.walk_packages(seedfold.__path__, "seedfold."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
for file in sorted(Path(seedfold.__path__[0], "conf", "experiment").glob("*.yaml")):
    needed = ["infer.weights=elsewhere"] if file.stem == "dark_side_infer" else []
    load_study([f"experiment={file.stem}", *needed])
    print(file.stem, len(list(load_study([f"experiment={file.stem}", "size=tiny", *needed]).jobs())))
"""


@pytest.fixture
def without(tmp_path: Path) -> Path:
    """The package in a folder of its own, without the study."""
    shutil.copytree(Path(seedfold.__file__).parent, tmp_path / "seedfold")
    shutil.rmtree(tmp_path / "seedfold" / "trainers" / "studies" / STUDY)
    files = list((tmp_path / "seedfold" / "conf").glob(f"*/{STUDY}*.yaml"))
    assert files
    for file in files:
        file.unlink()
    return tmp_path


@pytest.mark.slow
def test_everything_else_is_imported_and_planned(without: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-P", "-c", _CHECK],
        cwd=without,
        env={**os.environ, "PYTHONPATH": str(without)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    planned = {line.split()[0] for line in ended.stdout.splitlines()}
    shipped = {file.stem for file in (HERE / "conf" / "experiment").glob("*.yaml")}
    assert planned == shipped - {STUDY}


def test_no_other_test_needs_it() -> None:
    """Nor any other file of configuration."""
    files = [*(HERE / "tests").rglob("*.py"), *(HERE / "conf").rglob("*.yaml")]
    own = HERE / "tests" / "trainers" / "studies" / STUDY
    others = [file for file in files if file != Path(__file__) and own not in file.parents]
    words = (f"studies.{STUDY}", f"experiment={STUDY}", f"make_data {STUDY}", f"- {STUDY}\n")
    naming = [file for file in others if not file.name.startswith(STUDY) and any(w in file.read_text() for w in words)]
    assert naming == []
