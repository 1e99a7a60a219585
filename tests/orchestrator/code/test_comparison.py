"""Code that computed results, compared with the code of today."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from seedfold.orchestrator.code import stage_versions, syntax_cache
from seedfold.orchestrator.code.accepted_changes import AcceptedChange, accept_changes
from seedfold.orchestrator.code.code_records import read_code_record, write_code_record
from seedfold.orchestrator.code.comparison import CodeComparison, CodeKey
from seedfold.orchestrator.code.current_code import CurrentCode
from seedfold.orchestrator.code.digests import digest_file
from seedfold.orchestrator.code.syntax import syntax_digest_of_file
from seedfold.orchestrator.ledger.layout import StudyFolder
from seedfold.trainers.stages import fit_predict

FIT = f"{fit_predict.__name__}.run"
FIRST = "x = 1\n"
Recorded = Callable[..., CodeKey]


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    return StudyFolder(tmp_path / "runs" / "study")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The project: ``helper.py`` and the package ``lab`` with a file of data."""
    folder = tmp_path / "project"
    (folder / "lab").mkdir(parents=True)
    (folder / "helper.py").write_text(FIRST)
    (folder / "lab" / "__init__.py").write_text("")
    (folder / "lab" / "classes.json").write_text("[1, 2]")
    return folder


@pytest.fixture
def recorded(study: StudyFolder, folder: Path) -> Recorded:
    """Records the code of the project as it is when it is called."""

    def record(
        *names: str,
        run: str = "lab.run",
        stages: Mapping[str, int] | None = None,
        packages: Mapping[str, str] | None = None,
    ) -> CodeKey:
        paths = {name: folder / name for name in names}
        digests = {name: digest_file(path) for name, path in paths.items()}
        table = {"files": digests, "stages": stages or {}, "packages": packages or {}}
        return CodeKey(study, write_code_record(study, table, {digests[name]: paths[name] for name in names}), run)

    return record


def compare(study: StudyFolder, folder: Path | None) -> CodeComparison:
    return CodeComparison(study, None if folder is None else CurrentCode(folder))


def test_a_comment_is_no_change_and_a_number_is(study: StudyFolder, folder: Path, recorded: Recorded) -> None:
    key = recorded("helper.py", "lab/__init__.py", "lab/classes.json")
    (folder / "helper.py").write_text('"""Helps."""\n\nx = 1  # one\n')
    assert compare(study, folder).changed_files(key) == ()
    (folder / "helper.py").write_text("x = 2\n")
    (folder / "lab" / "classes.json").write_text("[1, 2, 3]")
    assert compare(study, folder).changed_files(key) == ("helper.py", "lab/classes.json")


def test_a_file_that_is_gone_from_its_package_is_a_change(study: StudyFolder, folder: Path, recorded: Recorded) -> None:
    key = recorded("helper.py", "lab/classes.json")
    (folder / "lab" / "classes.json").unlink()
    assert compare(study, folder).changed_files(key) == ("lab/classes.json",)


def test_code_that_is_not_here_is_no_evidence(
    study: StudyFolder, folder: Path, recorded: Recorded, tmp_path: Path
) -> None:
    key = recorded("helper.py", "lab/classes.json")
    (tmp_path / "elsewhere").mkdir()
    assert compare(study, tmp_path / "elsewhere").changed_files(key) == ()
    assert compare(study, None).changed_files(key) == ()


def test_records_of_the_first_version_are_compared_by_content(
    study: StudyFolder, folder: Path, recorded: Recorded
) -> None:
    file = study.code_record_file("00")
    file.parent.mkdir(parents=True)
    content = digest_file(folder / "helper.py")
    file.write_text(json.dumps({"helper.py": content, "seedfold/trainers/learning/losses.py": "0" * 16}))
    key = CodeKey(study, "00", FIT)
    assert compare(study, folder).changed_files(key) == ()
    newer = recorded("helper.py")
    (folder / "helper.py").write_text("x = 1  # one\n")
    assert compare(study, folder).changed_files(key) == ("helper.py",)
    # A newer record knows the syntax of the same content.
    comparison = compare(study, folder)
    assert comparison.changed_files(newer) == comparison.changed_files(key) == ()


def test_seedfolds_own_code_counts_by_the_declared_version_of_its_numbers(
    study: StudyFolder, folder: Path, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, without = recorded("helper.py", run=FIT, stages={FIT: 1}), recorded("helper.py", run=FIT)
    users = recorded("helper.py")
    comparison = compare(study, folder)
    assert [comparison.changed_files(key) for key in (before, without, users)] == [(), (), ()]
    monkeypatch.setattr(stage_versions, "STAGE_VERSIONS", {FIT: 2})
    comparison = compare(study, folder)
    assert [comparison.changed_files(key) for key in (before, without, users)] == [(FIT,), (FIT,), ()]


def test_every_declared_stage_is_a_function_and_has_a_second_version() -> None:
    from seedfold.orchestrator.worker.job_process import import_run

    for name, version in stage_versions.STAGE_VERSIONS.items():
        assert callable(import_run(name))
        assert version > stage_versions.FIRST_VERSION


def test_an_accepted_change_unites_both_sides_and_chains(study: StudyFolder, folder: Path, recorded: Recorded) -> None:
    first = recorded("helper.py")
    (folder / "helper.py").write_text("x = 2 - 1\n")
    second = recorded("helper.py")
    accept_changes(study, compare(study, folder).changes(first))
    assert compare(study, folder).changed_files(first) == ()
    (folder / "helper.py").write_text("x = 3 - 2\n")
    assert compare(study, folder).changed_files(first) == compare(study, folder).changed_files(second)
    accept_changes(study, compare(study, folder).changes(second))
    comparison = compare(study, folder)
    assert comparison.changed_files(first) == comparison.changed_files(second) == ()
    assert comparison.conflicting_files([first, second]) == ()


def test_accepting_says_who_and_when_and_twice_is_once(study: StudyFolder) -> None:
    change = AcceptedChange("helper.py", "aa", "bb")
    accept_changes(study, [change])
    accept_changes(study, [change, change])
    accept_changes(study, [])
    [file] = study.accepted_changes_folder.iterdir()
    record = json.loads(file.read_text())
    assert set(record) == {"user", "host", "time", "changes"}
    assert record["changes"] == [{"file": "helper.py", "before": "aa", "after": "bb"}]


def test_packages_are_told_and_make_nothing_stale(study: StudyFolder, folder: Path, recorded: Recorded) -> None:
    key = recorded("helper.py", packages={"numpy": "0.1", "not-installed": "1.0"})
    comparison = compare(study, folder)
    assert comparison.changed_files(key) == ()
    assert list(comparison.changed_packages(key)) == ["numpy"]
    assert comparison.changed_packages(key)["numpy"][0] == "0.1"


def test_an_unknown_record_says_nothing(study: StudyFolder, folder: Path) -> None:
    assert read_code_record(study, "ff") is None
    assert compare(study, folder).changed_files(CodeKey(study, "ff", "lab.run")) == ()
    assert compare(study, folder).changed_files(CodeKey(study, "", "lab.run")) == ()


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The names of the files that are parsed, and a cache folder of its own."""
    names: list[str] = []

    def note(path: Path) -> str | None:
        names.append(path.name)
        return syntax_digest_of_file(path)

    monkeypatch.setattr(syntax_cache, "syntax_digest_of_file", note)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return names


def test_only_what_was_edited_is_parsed_and_once(
    study: StudyFolder, folder: Path, recorded: Recorded, parsed: list[str]
) -> None:
    key = recorded("helper.py", "lab/__init__.py")
    assert compare(study, folder).changed_files(key) == ()
    assert parsed == []
    (folder / "helper.py").write_text("x = 2\n")
    for _ in range(2):
        assert compare(study, folder).changed_files(key) == ("helper.py",)
    assert parsed == ["helper.py"]
    (folder / "helper.py").write_text(f"{FIRST}# as at first\n")
    assert compare(study, folder).changed_files(key) == ()
    assert parsed == ["helper.py", "helper.py"]


@pytest.mark.parametrize("content", ["", "[]", '{"made_by": "0", "digests": {}}', None])
def test_a_cache_that_is_of_no_use_changes_nothing(
    study: StudyFolder, folder: Path, recorded: Recorded, parsed: list[str], tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "cache" / "seedfold" / "syntax.json"
    file.parent.mkdir(parents=True)
    if content is None:
        file.mkdir()  # neither read nor written
    else:
        file.write_text(content)
    key = recorded("helper.py")
    (folder / "helper.py").write_text("x = 2\n")
    for _ in range(2):
        assert compare(study, folder).changed_files(key) == ("helper.py",)
    assert len(parsed) == (2 if content is None else 1)
