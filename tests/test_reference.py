"""The pages that are generated from the code and from ``conf/`` are those that stand in ``docs/reference``."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
PAGES = runpy.run_path(str(REFERENCE / "generate.py"))["PAGES"]


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_what_the_code_says(name: str) -> None:
    """If this fails: ``python docs/reference/generate.py``."""
    assert (REFERENCE / name).read_text() == PAGES[name]()


def test_every_option_and_key_is_explained() -> None:
    page = PAGES["commands.md"]()
    assert "| `--root DIR` | Folder that holds the studies" in page
    assert [line for line in page.splitlines() if line.startswith("| `-") and line.endswith("|  |")] == []
