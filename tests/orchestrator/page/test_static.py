"""The files of the page: they are whole, they load nothing from elsewhere, and they never read a text as HTML."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

import seedfold.orchestrator.page

STATIC = Path(seedfold.orchestrator.page.__file__).parent / "static"
VENDOR = STATIC / "vendor"
OWN = sorted(file for file in STATIC.iterdir() if file.suffix in {".js", ".html", ".css", ".svg"})
MOST_LINES = 400
# What would read a text of a user as HTML or as code, or need a weaker content security policy.
DANGEROUS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|dangerouslySetInnerHTML|\beval\(|new Function|javascript:"
    r"|\sstyle=[\"']|\son\w+=[\"']|<script>|<style"
)


@pytest.mark.parametrize("file", OWN, ids=lambda file: file.name)
def test_files_are_short_and_run_no_text_as_code(file: Path) -> None:
    text = file.read_text()
    assert DANGEROUS.search(text) is None
    assert len(text.splitlines()) <= MOST_LINES
    addresses = re.findall(r"https?://[^\s\"']+", text)
    assert [address for address in addresses if address != "http://www.w3.org/2000/svg"] == []


@pytest.mark.parametrize("file", OWN, ids=lambda file: file.name)
def test_what_a_file_loads_is_there(file: Path) -> None:
    text = file.read_text()
    loaded = re.findall(r"from \"\./([^\"]+)\"", text) + re.findall(r"(?:src|href)=\"static/([^\"]+)\"", text)
    assert [name for name in loaded if not (STATIC / name).is_file()] == []


def test_libraries_are_those_that_were_published() -> None:
    rows = re.findall(r"^\| `([\w.-]+\.js)` \|.*`([0-9a-f]{64})` \|$", (VENDOR / "README.md").read_text(), re.MULTILINE)
    assert {file.name for file in VENDOR.glob("*.js")} == {name for name, _ in rows}
    for name, digest in rows:
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name
