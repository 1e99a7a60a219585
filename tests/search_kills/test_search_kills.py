"""A search that is killed at random goes on: no trial is lost or doubled, and decisions follow from results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run.py")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_what_holds_after_a_search_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, RUN, "--trials", "30", "--kills", "3", "--parallel", "2", "--folder", tmp_path / "run"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
