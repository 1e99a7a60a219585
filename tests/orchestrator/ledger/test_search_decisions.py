"""The decisions of a search: one order, one decision of two who decide at once, and nothing half after a crash."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from seedfold.orchestrator.ledger.damaged_files import DamagedFileError
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.orchestrator.ledger.search_decisions import RecordedDecision, SearchDecisions, Told


def _decision(trial: int, **more: object) -> RecordedDecision:
    return RecordedDecision("start", trial, {"lr": 0.1}, time=1.5, **more)  # type: ignore[arg-type]


def test_a_decision_is_read_as_it_was_written(tmp_path: Path) -> None:
    told = (Told(0, "paused", 3, (0.5, 0.25)), Told(1, "failed"), Told(2, "done", 27, (0.75,)))
    decision = _decision(3, rung=1, epochs=9, told=told, jobs=("a", "b"), reason="none")
    assert SearchDecisions(StudyFolder(tmp_path)).append(decision)
    assert SearchDecisions(StudyFolder(tmp_path)).records == [decision]


def test_of_two_who_decide_at_once_one_decides_and_the_other_reads_it(tmp_path: Path) -> None:
    first, second = SearchDecisions(StudyFolder(tmp_path)), SearchDecisions(StudyFolder(tmp_path))
    assert first.append(_decision(0))
    assert not second.append(_decision(7))
    assert second.records == [_decision(0)]
    assert second.append(_decision(1))
    assert first.refresh()
    assert [one.trial for one in first.records] == [0, 1]
    assert not first.refresh()


def _decide(study: Path, name: int) -> int:
    """Make 20 decisions in all, together with others; return how many were one's own."""
    decisions, own = SearchDecisions(StudyFolder(study)), 0
    while len(decisions.records) < 20:
        own += decisions.append(_decision(len(decisions.records), reason=str(name)))
    return own


def test_many_processes_make_each_decision_once(tmp_path: Path) -> None:
    with ProcessPoolExecutor(3) as pool:
        counts = list(pool.map(_decide, [tmp_path] * 3, range(3)))
    records = SearchDecisions(StudyFolder(tmp_path)).records
    assert [one.trial for one in records] == list(range(len(records)))
    assert sum(counts) == len(records) >= 20


def test_what_a_killed_process_left_is_no_decision(tmp_path: Path) -> None:
    study = StudyFolder(tmp_path)
    study.decisions_folder.mkdir(parents=True)
    (study.decisions_folder / ".000000.json.0123456789ab").write_text('{"kind": "st')
    decisions = SearchDecisions(study)
    assert decisions.records == []
    assert decisions.append(_decision(0))


def test_a_damaged_decision_is_named(tmp_path: Path) -> None:
    study = StudyFolder(tmp_path)
    SearchDecisions(study).append(_decision(0))
    file = study.decisions_folder / "000000.json"
    file.write_text(file.read_text().replace("start", "dance"))
    with pytest.raises(DamagedFileError, match=r"000000\.json: is damaged .*kind: 'dance'"):
        SearchDecisions(study)


def test_a_study_without_a_search_has_no_folder_of_it(tmp_path: Path) -> None:
    assert SearchDecisions(StudyFolder(tmp_path)).records == []
    assert list(tmp_path.iterdir()) == []
