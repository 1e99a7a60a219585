"""Jobs that say which version of the code they run: of their module, what it imports, late, and a file beside it."""

from __future__ import annotations

import json
from pathlib import Path

from toyproject import Toy

from seedfold.orchestrator.ledger.layout import StudyFolder

RUN = "toy.spoken.run"
_CODE = """
import time
from pathlib import Path

import beside
import seedfold.jobs.work

WORD = "old"


def run(work):
    Path("begun").touch()
    if work.config["seed"] in work.config["fail_seeds"] and work.attempt == 1:
        raise MemoryError("once")
    while not Path("go").exists():
        time.sleep(0.02)
    from toy.late import LATE

    table = (Path(__file__).parent / "table.txt").read_text()
    words = [WORD, LATE, beside.WORD, table, f"signal={work.config['signal']}"]
    (work.staging / "words.txt").write_text(" ".join(words))
    (work.staging / "seedfold.txt").write_text(seedfold.jobs.work.__file__)
"""
OLD_WORDS = "old old old old signal=2.0"
NEW_WORDS = "new new new new signal=2.0"


def write_code(toy: Toy, word: str) -> None:
    """Write the modules that jobs run, the one beside their package, and a file of data, all saying one word."""
    package = toy.folder / "toy"
    (package / "spoken.py").write_text(_CODE.replace('"old"', repr(word)))
    (package / "late.py").write_text(f"LATE = '{word}'\n")
    (package / "table.txt").write_text(word)
    (toy.folder / "beside.py").write_text(f"WORD = '{word}'\n")


def read_words(study: StudyFolder) -> dict[str, list[int]]:
    """What finished jobs said, with the seeds of those that said it."""
    found: dict[str, list[int]] = {}
    for file in study.path.glob("store/*/*/words.txt"):
        seed = json.loads((file.parent / "result.json").read_text())["axes"]["seed"]
        found.setdefault(file.read_text(), []).append(seed)
    return {words: sorted(seeds) for words, seeds in found.items()}


def seedfold_folders(study: StudyFolder) -> set[Path]:
    """Where finished jobs had Seedfold from."""
    return {Path(file.read_text()) for file in study.path.glob("store/*/*/seedfold.txt")}
