"""What is kept of a ledger, to save reading it again: it never says anything else than the ledger."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toyproject import Toy, make_toy

from seedfold.jobs.description import JobDescription
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.ledger import event_log, events, plans
from seedfold.orchestrator.ledger.events import OF_THE_STUDY, EventReader, EventWriter
from seedfold.orchestrator.ledger.gpu_shares import GpuShare
from seedfold.orchestrator.ledger.kept_columns import kept_files
from seedfold.orchestrator.ledger.layout import Root, StudyFolder
from seedfold.orchestrator.ledger.ledger import Ledger
from seedfold.orchestrator.ledger.plan_jobs import PlanJobs
from seedfold.orchestrator.ledger.plans import PlanHeader, Plans, write_plan
from seedfold.orchestrator.ledger.submissions import Submission
from seedfold.orchestrator.state.overview import Overview, status_to_json

_JOBS = ("a", "b", "c")
_DONE = {"files": {}, "parents": {}, "seconds": 1.0, "reads": {}, "code": "x", "result": {"bytes": 1, "mtime_ns": 2}}
_DETAILS: dict[str, dict[str, Any]] = {
    "started": {"process": {}},
    "done": _DONE,
    "failed": {"reason": "error"},
    "cancelled": {},
    "resumed": {},
    "held": {},
    "throttled": {"limit": 3, "jobs": {}},
    "gpu_share": GpuShare("train", 2, 1, 1).to_details() | {"jobs": {}},
}


@pytest.fixture(autouse=True)
def kept_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep what was read however little it is, so that small ledgers do."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    for module in (event_log, plans):
        monkeypatch.setattr(module, "_WORTH_KEEPING_BYTES", 1)


@contextmanager
def nothing_kept() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (event_log, plans):
            patch.setattr(module, "read_kept", lambda study, name: iter(()))
        yield


def _told(ledger: Ledger) -> dict[str, Any]:
    """All that a ledger says of the events."""
    table = ledger.table
    rows = {job: table.row(job) for job in _JOBS if table.row(job)}
    return {
        "records": {job: ledger.record_of(job) for job in _JOBS},
        "latest": {job: ledger.latest_event(job) for job in _JOBS},
        "columns": {
            job: (table.attempts[row], table.ranks[row], table.times[row], table.seconds[row])
            for job, row in rows.items()
        },
        "files": {job: list(table.expected_files(row)) for job, row in rows.items() if table.kinds[row] >= 0},
        "done": dict(ledger.done_events()),
        "cancelled": ledger.cancelled_jobs,
        "throttle": ledger.throttle,
        "gpu_shares": ledger.gpu_shares,
        "damaged": +ledger.damaged_lines,
        "latest_time": ledger.latest_time(),
    }


def _line(draw: Callable[[Any], Any], number: int) -> bytes:
    kind = draw(st.sampled_from(list(_DETAILS)))
    event = {"e": kind, "t": draw(st.integers(0, 9)) + number / 1000, **_DETAILS[kind]}
    attempt = draw(st.integers(1, 2))
    if draw(st.booleans()) and kind not in OF_THE_STUDY:
        event["jobs"] = dict.fromkeys(draw(st.lists(st.sampled_from(_JOBS), min_size=1)), attempt)
    elif kind not in OF_THE_STUDY:
        event |= {"job": draw(st.sampled_from(_JOBS)), "n": attempt}
    return json.dumps(event).encode() + b"\n"


def _change(draw: Callable[[Any], Any], file: Path, number: int) -> None:
    """Do to a file what a writer does, or what a crash or a person may do."""
    content = file.read_bytes() if file.exists() else b""
    what = draw(st.sampled_from(["append", "append", "append", "half", "cut", "replace", "remove", "garbage"]))
    if what == "remove":
        file.unlink(missing_ok=True)
    elif what == "replace":
        beside = file.with_name("beside")
        beside.write_bytes(_line(draw, number) + content[: draw(st.integers(0, len(content)))])
        beside.replace(file)
    elif what == "cut" and content:
        os.truncate(file, draw(st.integers(0, len(content))))
    else:
        line = _line(draw, number)
        added = {"half": line[: draw(st.integers(1, len(line) - 1))], "garbage": b'{"e": 5}\n\n[1,2]\n'}.get(what, line)
        with file.open("ab") as opened:
            opened.write(added)


@pytest.mark.slow
@settings(deadline=None)
@given(st.data())
def test_whatever_happens_to_the_files_what_was_kept_hides_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    study = StudyFolder(tmp_path_factory.mktemp("ledger") / "study")
    study.events_folder.mkdir(parents=True)
    files = [study.events_folder / f"{name}.jsonl" for name in "xy"]
    older: list[bytes] = [b"", b"seedfold 1 5\n{}"]
    for number in range(data.draw(st.integers(1, 8))):
        _change(data.draw, data.draw(st.sampled_from(files)), number)
        for kept in kept_files(study):
            older.append(kept.read_bytes())
            if data.draw(st.integers(0, 3)) == 0:
                # It is torn, or a slow writer has put an older one in its place.
                kept.write_bytes(data.draw(st.sampled_from(older)))
        if data.draw(st.booleans()):
            with nothing_kept():
                expected = _told(Ledger(study, keeps=False))
            assert _told(Ledger(study)) == expected


def test_who_reads_on_and_who_begins_know_the_same(tmp_path: Path) -> None:
    study = StudyFolder(tmp_path / "study")
    writer = EventWriter(study.events_folder)
    writer.append("started", job="a", n=1, process={})
    reading = Ledger(study)
    for kind in ("done", "cancelled", "resumed"):
        writer.append(kind, job="a", n=1, **_DETAILS[kind])
        assert reading.refresh()
        assert not reading.refresh()
        assert _told(reading) == _told(Ledger(study))


@pytest.mark.parametrize("is_replaced", [False, True])
def test_who_looks_past_caches_looks_past_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_replaced: bool
) -> None:
    study = StudyFolder(tmp_path / "study")
    EventWriter(study.events_folder).append("started", job="a", n=1, process={})
    Ledger(study)
    [file] = study.events_folder.iterdir()
    shown = file.stat()
    done = json.dumps({"e": "done", "t": 2.0, "job": "a", "n": 1, **_DONE}) + "\n"
    if is_replaced:
        file.unlink()
    with file.open("a") as opened:
        opened.write(done)

    def show_old(reader: EventReader) -> list[tuple[str, int]]:
        reader._statuses = {file.name: shown}
        return [(file.name, shown.st_size)]

    monkeypatch.setattr(EventReader, "_files", show_old)
    ledger = Ledger(study)
    assert [event["e"] for _, event in ledger.done_events()] == []
    ledger.look_past_caches()
    assert [event["e"] for _, event in ledger.done_events()] == ["done"]


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes of events and of plans were read, each time."""
    found: list[int] = []
    read_bytes, read_plan = EventReader._read_bytes, PlanJobs._read

    def of_events(reader: EventReader, name: str, start: int, end: int) -> bytes:
        found.append(end - start)
        return read_bytes(reader, name, start, end)

    def of_plan(path: Path) -> PlanJobs:
        found.append(path.stat().st_size)
        return read_plan(path)

    monkeypatch.setattr(EventReader, "_read_bytes", of_events)
    monkeypatch.setattr(PlanJobs, "_read", of_plan)
    monkeypatch.setattr(events, "_SETTLED_S", -10.0)
    return found


def _plan(study: StudyFolder, *seeds: int) -> None:
    jobs = [
        JobDescription(f"{seed:064d}", study.name, "train", {"seed": seed}, {"seed": seed}, (), Resources(), "toy.run")
        for seed in seeds
    ]
    write_plan(study, PlanHeader.create([], [], {}, study.path, ()), jobs)


def test_a_second_command_opens_no_file_of_the_ledger_and_a_third_reads_what_is_new(
    tmp_path: Path, bytes_read: list[int]
) -> None:
    study = StudyFolder(tmp_path / "study")
    _plan(study, 1, 2)
    writers = [EventWriter(study.events_folder) for _ in range(3)]
    for seed in range(300):
        writers[seed % 3].append("done", job=f"{seed:064d}", n=1, **_DONE)
    Ledger(study)
    assert len(bytes_read) == 4
    bytes_read.clear()
    Ledger(study)
    assert bytes_read == []
    line = len(json.dumps(writers[0].append("failed", job="x", n=1, reason="y"), separators=(",", ":"))) + 1
    assert Ledger(study).record_of("x").latest_attempt == 1
    assert bytes_read == [4096, line]
    bytes_read.clear()
    _plan(study, 3)
    assert [job.axes["seed"] for job in Plans(study).current_jobs.values()] == [3]
    assert len(bytes_read) == 1


def test_plans_are_the_same_with_and_without_what_was_kept(tmp_path: Path) -> None:
    study = StudyFolder(tmp_path / "study")
    for seeds in ((1, 2), (2, 3), (1,)):
        _plan(study, *seeds)
        Plans(study)
    kept = Plans(study)
    with nothing_kept():
        read = Plans(study)
    for one in ("jobs", "current_jobs", "removed_jobs"):
        assert list(getattr(kept, one).items()) == list(getattr(read, one).items())
    assert (kept.header, kept.current_ids()) == (read.header, read.current_ids())
    assert kept.jobs_to_remove((), set()) == read.jobs_to_remove((), set())
    assert kept.superseded == read.superseded == frozenset()
    assert list(kept.held_jobs()) == [("train", '{"seed":2}'), ("train", '{"seed":3}'), ("train", '{"seed":1}')]
    min(study.plans_folder.glob("*.jsonl")).unlink()
    assert list(Plans(study).jobs) == [f"{seed:064d}" for seed in (2, 3, 1)]


def test_who_may_not_write_there_keeps_it_at_home_and_no_deleted_study_comes_back(tmp_path: Path) -> None:
    study = StudyFolder(tmp_path / "study")
    EventWriter(study.events_folder).append("done", job="a", n=1, **_DONE)
    (study.path / "cache").write_text("no folder")
    Ledger(study)
    [kept] = kept_files(study)
    assert kept.is_relative_to(tmp_path / "home")
    ledger = Ledger(study, keeps=False)
    study.path.rename(tmp_path / "deleted")
    event_log.keep(study, "events", {}, {})
    assert not study.path.exists()
    assert not Ledger(study).table.row_of
    # It cannot be said any more what happened to a job, and that is said.
    with pytest.raises(event_log.DamagedFileError, match="run the command again"):
        ledger.record_of("a")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    toy = make_toy(tmp_path_factory.mktemp("finished"))
    assert toy.launch("--wait", "fold=0", experiment="light").returncode == 0
    toy.wait_for_workers()
    return toy


def _remove_result(study: StudyFolder, job: str) -> None:
    study.result_folder(job, 1).rename(study.path / "elsewhere")


def _change_result(study: StudyFolder, job: str) -> None:
    file = study.result_folder(job, 1) / "result.json"
    file.write_text(file.read_text().replace("1", "2"))


def _lengthen_result(study: StudyFolder, job: str) -> None:
    with (study.result_folder(job, 1) / "result.json").open("a") as file:
        file.write("\n")


def _run_again(study: StudyFolder, job: str) -> None:
    settings_of_study = Plans(study).header
    assert settings_of_study is not None
    Submission.create(study, [job], settings_of_study.settings, study.path, rerun_attempts={job: 1})


def _fail(study: StudyFolder, job: str) -> None:
    EventWriter(study.events_folder).append("failed", job=job, n=2, reason="no", kind="error", digest="d", seconds=1.0)


def _nothing(study: StudyFolder, job: str) -> None:
    pass


@pytest.mark.parametrize(
    ("disturb", "done"),
    [(_nothing, 0), (_remove_result, 1), (_change_result, 1), (_lengthen_result, 1), (_run_again, 1), (_fail, 1)],
)
@pytest.mark.parametrize("result_check", ["files", "recent"])
def test_jobs_that_are_alike_are_counted_as_one_by_one(
    finished: Toy, tmp_path: Path, disturb: Callable[[StudyFolder, str], None], done: int, result_check: Any
) -> None:
    import shutil

    root = Root(tmp_path / "runs")
    shutil.copytree(finished.root, root.path, symlinks=True)
    study = root.study_folder("light")
    for file in study.path.glob("store/*/*/*"):
        # The copy is as old as what it is of.
        original = finished.root / file.relative_to(root.path)
        os.utime(file, ns=(original.stat().st_atime_ns, original.stat().st_mtime_ns))
    Ledger(study)
    disturb(study, Plans(study).current_ids()[0])
    overview = Overview(root, "light", result_check=result_check)
    views = overview.job_views()
    one_by_one = [overview.job_view(job) for job in overview.jobs_at_addresses().values()]
    assert list(views) == one_by_one
    for late, view in zip(views, one_by_one, strict=True):
        for name in ("id", "stage", "axes", "state", "attempt", "last_time", "seconds", "reason", "result_folder"):
            assert getattr(late, name) == getattr(view, name), name
    assert status_to_json("light", views) == status_to_json("light", one_by_one)
    counts = status_to_json("light", views)["states"]
    assert counts["done"] == len(views) - done
