from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from seedfold.orchestrator.ledger.atomic_files import JsonLinesAppender, create_once, write_atomically

_REWRITE_FOR_EVER = """
import sys
from pathlib import Path
from seedfold.orchestrator.ledger.atomic_files import write_atomically
for number in range(10**9):
    write_atomically(Path(sys.argv[1]), [f"{number % 10}" * 50_000, "end"])
"""


def test_only_one_of_many_creates_a_file(tmp_path: Path) -> None:
    path = tmp_path / "claims" / "ab" / "x.1"
    with ThreadPoolExecutor(16) as pool:
        created = list(pool.map(lambda number: create_once(path, str(number)), range(64)))
    assert sum(created) == 1
    assert path.read_text() == str(created.index(True))
    assert list(path.parent.iterdir()) == [path]


def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.jsonl"
    for delay in (0.4, 0.5, 0.6):
        writer = subprocess.Popen([sys.executable, "-c", _REWRITE_FOR_EVER, str(path)])
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        if path.exists():
            text = path.read_text()
            assert len(text) == 50_003
            assert len(set(text[:50_000])) == 1
            assert text.endswith("end")


def test_appended_records_come_back_in_order(tmp_path: Path) -> None:
    appender = JsonLinesAppender(tmp_path / "events" / "one.jsonl")
    appender.append({"n": 1}, {"n": 2, "text": "ä\n"})
    appender.append({"n": 3})
    appender.close()
    lines = (tmp_path / "events" / "one.jsonl").read_text().splitlines()
    assert [json.loads(line)["n"] for line in lines] == [1, 2, 3]


def test_a_file_that_somebody_writes_is_not_appended_to(tmp_path: Path) -> None:
    JsonLinesAppender(tmp_path / "one.jsonl").append({"n": 1})
    with pytest.raises(FileExistsError):
        JsonLinesAppender(tmp_path / "one.jsonl").append({"n": 2})


def test_writing_whole_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    write_atomically(path, ["one", "two"])
    write_atomically(path, ["three"])
    assert path.read_text() == "three"
    assert list(path.parent.iterdir()) == [path]


def test_a_link_whose_answer_was_lost_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def repeated(source: Path, target: Path) -> None:
        link(source, target)
        raise FileExistsError(target)

    monkeypatch.setattr(os, "link", repeated)
    assert create_once(tmp_path / "claim", "mine")
    assert list(tmp_path.iterdir()) == [tmp_path / "claim"]


_FILL = """
import resource, signal, sys
from pathlib import Path
from seedfold.orchestrator.ledger.atomic_files import JsonLinesAppender
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
appender = JsonLinesAppender(Path(sys.argv[1]))
appender.append({"n": 1})
try:
    appender.append({"n": 2, "text": "x" * 200})
except OSError:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    appender.append({"n": 3})
"""


def test_a_full_disk_leaves_no_half_line_behind(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    subprocess.run([sys.executable, "-c", _FILL, str(path)], check=True)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"n": 1}, {"n": 3}]


def test_names_in_another_encoding_can_be_told_of(tmp_path: Path) -> None:
    appender = JsonLinesAppender(tmp_path / "events.jsonl")
    appender.append({"reason": "no file \udce9t\udce9.csv"})
    appender.close()
    assert json.loads((tmp_path / "events.jsonl").read_text()) == {"reason": "no file \udce9t\udce9.csv"}
