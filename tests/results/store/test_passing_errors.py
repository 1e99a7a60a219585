from __future__ import annotations

import errno
from pathlib import Path

import pytest
from failing_storage import pass_quickly

from seedfold.results.store.passing_errors import PATIENCE_S, storage_error, try_again


class Failing:
    """An action that fails so many times."""

    def __init__(self, number: int, times: float) -> None:
        self.number, self.left, self.calls = number, times, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise OSError(self.number, "message")
        return "done"


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EINTR])
def test_what_passes_is_waited_for_with_growing_pauses(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = pass_quickly(monkeypatch)
    assert try_again(Failing(number, 4), "file") == "done"
    assert pauses == sorted(set(pauses))
    assert len(pauses) == 4


def test_what_stays_is_raised_after_a_minute_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = pass_quickly(monkeypatch)
    with pytest.raises(OSError, match="/root/study/events") as raised:
        try_again(Failing(errno.EIO, float("inf")), Path("/root/study/events"))
    assert raised.value.errno == errno.EIO
    assert sum(pauses) == pytest.approx(PATIENCE_S)


def test_many_files_that_cannot_be_read_cost_one_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = pass_quickly(monkeypatch)
    for name in ("one", "two", "three"):
        with pytest.raises(OSError, match=name):
            try_again(Failing(errno.EIO, float("inf")), name)
    assert sum(pauses) == pytest.approx(PATIENCE_S)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENOENT, errno.EACCES])
def test_other_errors_are_raised_at_once(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses, action = pass_quickly(monkeypatch), Failing(number, 1)
    with pytest.raises(OSError, match="message"):
        try_again(action, "file")
    assert (action.calls, pauses) == (1, [])


def test_the_error_of_the_storage_is_found_behind_others() -> None:
    try:
        try:
            raise OSError(errno.EDQUOT, "quota")
        except OSError as error:
            raise ValueError("cannot be written") from error
    except ValueError as error:
        found = storage_error(error)
    assert found is not None
    assert found.errno == errno.EDQUOT
    assert storage_error(FileNotFoundError(errno.ENOENT, "none")) is None
