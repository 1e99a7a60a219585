"""The list of the longest tests names tests that there are: others would not be started first."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
_PAGE = re.compile(r"\[(.*\.md)\]$")


def is_there(name: str) -> bool:
    """Whether a test has this name, and the page that it tries, if it tries one."""
    file, _, function = name.partition("::")
    path, page = HERE.parent / file, _PAGE.search(name)
    defined = path.exists() and f"def {function.partition('[')[0]}(" in path.read_text()
    return defined and (page is None or (HERE.parent / page[1]).exists())


def test_every_test_in_the_list_is_there() -> None:
    lines = [line for line in (HERE / "durations.txt").read_text().splitlines() if not line.startswith("#")]
    names = [line.split(maxsplit=1)[1] for line in lines]
    assert len(names) > 20
    assert [name for name in names if not is_there(name)] == []
