"""The line that ssh hands to whatever shell somebody has there."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from seedfold.orchestrator.login.remote_command import OUTPUT_BEGINS, seedfold_line
from seedfold.orchestrator.settings.login import LoginHost

WORDS = ["'; touch broken; '", "$(touch broken)", "a\nb", "!!", "*", "~", "ü €", '"', "\\", "", "%s", "^a^b", "-x"]
TELL = """#!/usr/bin/env python3
import json, os, sys
print(json.dumps([sys.argv[1:], os.environ["X"], os.getcwd()]))
"""


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "zsh", "fish", "tcsh"])
def test_every_shell_reads_it_alike(shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".bash_profile").write_text("echo a word of the profile; cat\n")
    (tmp_path / "tell me").write_text(TELL)
    (tmp_path / "tell me").chmod(0o755)
    folder = tmp_path / "it's"
    folder.mkdir()
    line = seedfold_line(LoginHost("host", command="'../tell me'"), WORDS, {"X": "a'b\"$c"}, str(folder))
    ended = subprocess.run(
        [shell, "-c", line], cwd=folder, capture_output=True, input=b"not for the profile", check=True
    )
    assert ended.stdout.startswith(OUTPUT_BEGINS)
    assert json.loads(ended.stdout.removeprefix(OUTPUT_BEGINS)) == [WORDS, "a'b\"$c", str(folder)]
    assert ended.stderr == b""
    assert not (folder / "broken").exists()
