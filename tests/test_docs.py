"""The documentation is tried: its ```bash and ```python blocks run, in order, in an empty folder; links lead on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import HERE, PAGES, blocks, name_of, run_page

LONG = {
    *(f"docs/tutorials/{name}.md" for name in ("search", "tour", "your-own")),
    *(f"docs/how-to/{name}.md" for name in ("command", "compare", "data", "fuse", "hydra", "lightning", "loggers")),
    *(f"docs/how-to/{name}.md" for name in ("own-script", "pilot", "python", "search", "stages", "tables")),
    *(f"docs/studies/{name}.md" for name in ("folds", "hospital")),
    "docs/reference/study-file.md",
}
"""Pages whose blocks take from four seconds of a processor to a minute."""
RUN_BY_THEIR_STUDY = {"docs/studies/prevalence.md"}
"""Pages whose blocks the test of their study runs, because it looks further at what they leave."""
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]*)(#[^)\s]*)?\)")
_FILE = re.compile(r"^cat > \S+ <<'END'\n(.*?)^END$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def _marked(page: Path) -> object:
    slow = [pytest.mark.slow, pytest.mark.timeout(1800)] if name_of(page) in LONG else []
    return pytest.param(page, id=name_of(page), marks=slow)


@pytest.mark.parametrize(
    "page", [_marked(page) for page in PAGES if blocks(page) and name_of(page) not in RUN_BY_THEIR_STUDY]
)
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_page(page, tmp_path, monkeypatch)


def test_a_task_a_model_and_a_study_of_your_own_are_fewer_than_sixty_lines() -> None:
    files = _FILE.findall((HERE / "docs" / "tutorials" / "your-own.md").read_text())
    assert len(files) == 5
    assert 40 < sum(bool(line.strip()) for text in files for line in text.splitlines()) < 60


def _anchors(page: Path) -> set[str]:
    headings = _HEADING.findall(_FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in _LINK.findall(_FENCE.sub("", page.read_text())) if "://" not in link[0]]
    assert [target for target, _ in links if not (page.parent / target).exists()] == []
    inside = [(page.parent / target if target else page, anchor[1:]) for target, anchor in links if anchor]
    assert [(name_of(other), anchor) for other, anchor in inside if anchor not in _anchors(other)] == []


def test_the_index_names_every_page() -> None:
    docs = HERE / "docs"
    linked = {(docs / target).resolve() for target, _ in _LINK.findall((docs / "README.md").read_text())}
    pages = {page for page in docs.rglob("*.md") if page.parent.name != "decisions"} - {docs / "README.md"}
    assert pages - linked == set()
