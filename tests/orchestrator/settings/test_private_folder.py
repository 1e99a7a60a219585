"""Nobody else can put anything into the folder that a user has in the shared temporary folder."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from toyproject import Toy, read_files

from seedfold.jobs.errors import UsageError
from seedfold.jobs.resources import Resources
from seedfold.orchestrator.settings.cluster import ClusterSettings
from seedfold.orchestrator.settings.private_folder import private_folder
from seedfold.orchestrator.worker.slots import Machine

NOBODY = 65534


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def own_name() -> str:
    return f"seedfold-{os.getuid()}"


def mode_of(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def take_a_slot() -> None:
    Machine(ClusterSettings.parse({}), []).acquire_slot(Resources(), 0)


def test_only_the_user_can_enter_it(shared: Path) -> None:
    previous = os.umask(0o000)
    folder = private_folder("slots")
    os.umask(previous)
    assert folder == shared / own_name() / "slots"
    assert [mode_of(folder), mode_of(folder.parent)] == [0o700, 0o700]


def test_a_folder_of_ours_that_others_could_enter_is_closed(shared: Path) -> None:
    (shared / own_name() / "slots").mkdir(parents=True)
    for folder in (shared / own_name(), shared / own_name() / "slots"):
        folder.chmod(0o777)
    folder = private_folder("slots")
    assert [mode_of(folder), mode_of(folder.parent)] == [0o700, 0o700]


def test_a_link_in_its_place_is_refused(shared: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (shared / own_name()).symlink_to(tmp_path / "precious")
    with pytest.raises(UsageError, match=f"{own_name()}: is not a folder of yours; remove it, or set TMPDIR"):
        take_a_slot()
    assert not list((tmp_path / "precious").iterdir())


def test_a_file_in_its_place_is_refused(shared: Path) -> None:
    (shared / own_name()).write_text("")
    with pytest.raises(UsageError, match="is not a folder of yours"):
        private_folder("slots")


def test_the_folder_of_another_user_is_refused(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = os.getuid() + 1
    monkeypatch.setattr("os.getuid", lambda: stranger)
    with pytest.raises(UsageError, match="belongs to another user"):
        private_folder("slots")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_what_another_user_has_planted_is_neither_followed_nor_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    planting = 'cd "$1" && mkdir -p "$2/slots" && for n in $(seq 0 99); do ln -s "$3" "$2/slots/cpu-$n"; done'
    # The folders of pytest are closed to others.
    with tempfile.TemporaryDirectory(dir="/tmp") as shared:
        Path(shared).chmod(0o1777)
        monkeypatch.setattr("tempfile.tempdir", shared)
        command = ["/bin/sh", "-c", planting, "sh", shared, own_name(), str(precious)]
        subprocess.run(command, user=NOBODY, group=NOBODY, check=True, cwd="/")
        with pytest.raises(UsageError, match="belongs to another user"):
            take_a_slot()
    assert precious.read_text() == "mine"


def link(place: Path, precious: Path) -> None:
    place.symlink_to(precious)


def second_name(place: Path, precious: Path) -> None:
    place.hardlink_to(precious)


def pipe(place: Path, precious: Path) -> None:
    os.mkfifo(place)


@pytest.mark.parametrize("plant", [link, second_name, pipe])
def test_a_slot_that_is_no_file_of_ours_is_refused(
    plant: Callable[[Path, Path], None], shared: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    plant(private_folder("slots") / "cpu-0", precious)
    with pytest.raises(UsageError, match=r"slots/cpu-0: .*; remove it"):
        take_a_slot()
    assert precious.read_text() == "mine"


def test_a_launch_says_so_and_writes_nothing(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Path(toy.environment["TMPDIR"])
    monkeypatch.setattr("tempfile.tempdir", str(shared))
    (shared / own_name()).symlink_to(toy.data)
    before = read_files(toy.folder)
    ended = toy.launch(experiment="light")
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1)
    assert "is not a folder of yours" in ended.stderr
    assert read_files(toy.folder) == before
