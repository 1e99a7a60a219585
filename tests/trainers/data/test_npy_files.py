from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from seedfold.trainers.data.npy_files import inspect_array, read_array


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns, and garbage is collected, as often as can be."""
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(50)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*thresholds)


class Circle:
    """Garbage whose end takes Python code, in which another thread may take its turn."""

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        for _ in range(50):
            pass


@pytest.mark.usefixtures("restless")
def test_threads_read_files_side_by_side(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(6).reshape(2, 3))

    def read(_: int) -> int:
        Circle()
        return int(read_array(tmp_path / "a.npy").sum())

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(read, range(2000))) == {15}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float16, np.uint8, ">f8"])
def test_arrays_are_read_as_numpy_reads_them(tmp_path: Path, order: str, dtype: str) -> None:
    for shape in ((), (0, 3), (2, 3, 4)):
        array = np.asarray(
            np.arange(24).reshape(2, 3, 4) if len(shape) == 3 else np.zeros(shape), dtype=dtype, order=order
        )
        np.save(tmp_path / "a.npy", array)
        found, numpys = read_array(tmp_path / "a.npy"), np.load(tmp_path / "a.npy")
        assert (found.dtype, found.shape) == (numpys.dtype, numpys.shape)
        assert (found == numpys).all()
        assert inspect_array(tmp_path / "a.npy").shape == shape


@pytest.mark.parametrize("read", [read_array, inspect_array])
def test_what_is_no_whole_array_of_numbers_is_refused(tmp_path: Path, read: object) -> None:
    assert callable(read)
    file = tmp_path / "a.npy"
    np.save(file, np.arange(6.0))
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match="cut short: it holds 5 of 6 numbers"):
        read(file)
    file.write_bytes(whole[:3])
    with pytest.raises(ValueError, match="EOF"):
        read(file)
    np.save(file, np.array([None]), allow_pickle=True)
    with pytest.raises(ValueError, match="holds Python objects"):
        read(file)
