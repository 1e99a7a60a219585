"""A study as one file: written whole, checked, and opened to read it."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pyarrow as pa
import pytest
from toyproject import Toy, read_files

from seedfold.orchestrator.copies.archive import open_archive, write_archive
from seedfold.orchestrator.ledger.layout import StudyFolder


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory, finished: Toy) -> Path:
    """An archive of the study ``toy``."""
    file = tmp_path_factory.mktemp("archive") / "toy.tar.zst"
    told = finished.output_of("archive", "toy", str(file))
    assert told.startswith(f"{file}: ")
    assert "study toy, as it was " in told
    return file


def test_an_opened_archive_is_a_root_to_read(finished: Toy, archived: Path, tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    told = finished.output_of("archive", "--open", str(archived), str(opened))
    assert f"to read it: seedfold status toy --root {opened}" in told

    def of(*args: str) -> str:
        return finished.output_of(*args, "--root", str(opened))

    assert "6 done" in of("status", "toy")
    here = finished.output_of("results", "toy", "metrics", "--format", "csv")
    assert of("results", "toy", "metrics", "--format", "csv") == here
    assert of("report", "toy").strip() == str(opened / "toy" / "outputs" / "report.html")
    assert (opened / "toy" / "outputs" / "tables" / "metrics.csv").read_text() == here
    for name, content in read_files(finished.study().path / "store").items():
        kept = opened / "toy" / "store" / name
        assert kept.read_bytes() == content
        assert kept.stat().st_mtime_ns == (finished.study().path / "store" / name).stat().st_mtime_ns
    snapshot = next(finished.study().snapshots_folder.glob("*/modules"))
    code = {name: content for name, content in read_files(snapshot).items() if "__pycache__" not in name}
    assert read_files(opened / snapshot.relative_to(finished.root)) == code
    refused = finished.run_in_process("cancel", "toy", "--root", str(opened))
    assert refused.returncode == 2
    assert f"run this command where the study is: {archived}" in refused.stderr
    again = finished.run_in_process("archive", "--open", str(archived), str(opened))
    assert (again.returncode, again.stderr) == (2, f"seedfold: {opened}: exists already; name a new folder\n")


def test_other_programs_can_unpack_it(archived: Path) -> None:
    with pa.input_stream(str(archived), compression="zstd") as stream:
        names = subprocess.run(["tar", "-t"], input=stream.read(), stdout=subprocess.PIPE, check=True).stdout.split()
    assert names == [*sorted(names[:-1]), b"MANIFEST.json"]
    assert b"toy/outputs/report.html" in names
    assert b"toy/outputs/tables/metrics.parquet" in names


def test_an_archive_is_not_replaced_unless_told(finished: Toy, archived: Path) -> None:
    before = archived.read_bytes()
    refused = finished.run_in_process("archive", "toy", str(archived))
    assert refused.returncode == 2
    assert "exists already; replace it with --force" in refused.stderr
    assert "ends in .tar.zst" in finished.run_in_process("archive", "toy", "toy.zip").stderr
    assert archived.read_bytes() == before
    assert [path.name for path in archived.parent.iterdir()] == [archived.name]


def damage(data: bytes, kind: str) -> bytes:
    if kind == "shortened":
        return data[: len(data) // 2]
    if kind == "changed":
        middle = len(data) // 2
        return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    return {"empty": b"", "text": b"this is no archive"}[kind]


@pytest.mark.parametrize("kind", ["shortened", "changed", "empty", "text"])
def test_a_damaged_archive_is_told_and_never_opened(finished: Toy, archived: Path, tmp_path: Path, kind: str) -> None:
    assert "whole; study toy" in finished.output_of("archive", "--check", str(archived))
    damaged = tmp_path / "damaged.tar.zst"
    damaged.write_bytes(damage(archived.read_bytes(), kind))
    told = finished.run_in_process("archive", "--check", str(damaged))
    assert (told.returncode, told.stdout) == (3, "")
    assert told.stderr.startswith(f"seedfold: {damaged}: is damaged, or no archive of Seedfold")
    assert finished.run_in_process("archive", "--open", str(damaged), str(tmp_path / "opened")).returncode == 3
    assert [path.name for path in tmp_path.iterdir()] == [damaged.name]


def make_study(folder: Path) -> StudyFolder:
    (folder / "toy" / "plans").mkdir(parents=True)
    (folder / "toy" / "plans" / "1.jsonl").write_text("{}")
    return StudyFolder(folder / "toy")


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "toy/plans"])
def test_no_member_is_written_outside_of_the_folder(tmp_path: Path, name: str) -> None:
    file = tmp_path / "a.tar.zst"
    with pa.output_stream(str(file), compression="zstd") as stream, tarfile.open(fileobj=stream, mode="w|") as tar:
        member = tarfile.TarInfo(name)
        member.type = tarfile.DIRTYPE if name == "toy/plans" else tarfile.REGTYPE
        tar.addfile(member)
    with pytest.raises(Exception, match="is no file that an archive has"):
        open_archive(file, tmp_path / "opened")
    assert not (tmp_path / "opened").exists()


def test_a_killed_archive_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, file = make_study(tmp_path / "root"), tmp_path / "out" / "a.tar.zst"
    write_archive([study], {}, file, with_checkpoints=False)
    before = file.read_bytes()

    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tarfile.TarFile, "addfile", stop)
    with pytest.raises(KeyboardInterrupt):
        write_archive([study], {}, file, with_checkpoints=True)
    assert (file.read_bytes(), [path.name for path in file.parent.iterdir()]) == (before, [file.name])
