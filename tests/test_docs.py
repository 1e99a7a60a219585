"""The documentation is tried: its ```bash and ```python blocks run, in order, in an empty folder; links lead somewhere.

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
from isolation import path_without_schedulers

HERE = Path(__file__).parent.parent
TRAINING = {
    *("docs/tutorials/tour.md", "docs/tutorials/your-own.md"),
    *(f"docs/how-to/{name}.md" for name in ("compare", "data", "hydra", "python", "stages")),
    *(f"docs/studies/{name}.md" for name in ("hospital", "prevalence")),
}
"""Pages whose blocks take a minute."""
PAGES = [HERE / "README.md", *sorted((HERE / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(bash|python|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]*)(#[^)\s]*)?\)")
_FILE = re.compile(r"^cat > \S+ <<'END'\n(.*?)^END$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def _blocks(page: Path) -> list[tuple[str, str]]:
    return [(match[1], match[2]) for match in _BLOCK.finditer(page.read_text())]


def _name(page: Path) -> str:
    return str(page.relative_to(HERE))


def _run(language: str, code: str, page: Path, names: dict[str, object]) -> str:
    if language == "bash":
        ended = subprocess.run(["bash", "-euo", "pipefail", "-c", code], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{code}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout
    printed = StringIO()
    with redirect_stdout(printed):
        exec(compile(code, _name(page), "exec"), names)
    return printed.getvalue()


def _missing(shown: str, printed: str) -> str | None:
    """The first line shown that is not printed, or not in that order."""
    rest = iter(printed.splitlines())
    for line in shown.splitlines():
        pattern = re.compile(".*".join(re.escape(part) for part in line.split("…")))
        if not any(pattern.fullmatch(found.rstrip()) for found in rest):
            return line
    return None


def _marked(page: Path) -> object:
    return pytest.param(
        page, id=_name(page), marks=[pytest.mark.slow, pytest.mark.timeout(1800)] if _name(page) in TRAINING else []
    )


@pytest.mark.parametrize("page", [_marked(page) for page in PAGES if _blocks(page)])
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    # Places for jobs belong to a machine and its temporary folder: ours are apart from those of other tests.
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("COLUMNS", "100")
    # `seedfold doctor` finds fault with a scheduler that is installed and does not answer.
    path = path_without_schedulers(tmp_path / "tmp" / "programs")
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), path]))
    monkeypatch.syspath_prepend(str(tmp_path))
    names: dict[str, object] = {"__name__": "__main__"}
    code, printed = "", ""
    for language, text in _blocks(page):
        if language == "text":
            missing = _missing(text, printed)
            assert missing is None, f"not printed: {missing}\n\n{code}\n{printed}"
        else:
            code, printed = text, _run(language, text, page, names)


def test_a_task_a_model_and_a_study_of_your_own_are_fewer_than_sixty_lines() -> None:
    files = _FILE.findall((HERE / "docs" / "tutorials" / "your-own.md").read_text())
    assert len(files) == 5
    assert 40 < sum(bool(line.strip()) for text in files for line in text.splitlines()) < 60


def _anchors(page: Path) -> set[str]:
    headings = _HEADING.findall(_FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in _LINK.findall(_FENCE.sub("", page.read_text())) if "://" not in link[0]]
    assert [target for target, _ in links if not (page.parent / target).exists()] == []
    inside = [(page.parent / target if target else page, anchor[1:]) for target, anchor in links if anchor]
    assert [(_name(other), anchor) for other, anchor in inside if anchor not in _anchors(other)] == []


def test_the_index_names_every_page() -> None:
    docs = HERE / "docs"
    linked = {(docs / target).resolve() for target, _ in _LINK.findall((docs / "README.md").read_text())}
    pages = {page for page in docs.rglob("*.md") if page.parent.name != "decisions"} - {docs / "README.md"}
    assert pages - linked == set()
