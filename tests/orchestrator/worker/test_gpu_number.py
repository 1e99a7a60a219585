"""How many jobs share a GPU, whatever is measured."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from seedfold.orchestrator.worker.gpu_number import BUSY_PERCENT, fitting_jobs, needed_bytes, next_number

GB = 1024**3
sizes = st.integers(0, 200 * GB)
percents = st.none() | st.floats(0, 100)
numbers = st.integers(1, 64)


@given(sizes, sizes, sizes)
def test_jobs_that_fit_do_fit_with_a_margin(total: int, others: int, largest: int) -> None:
    fitting = fitting_jobs(total, others, largest)
    assert fitting >= 1
    assert needed_bytes(largest) >= 1.15 * largest - 1
    assert fitting == 1 or fitting * needed_bytes(largest) + others <= total
    assert (fitting + 1) * needed_bytes(largest) + others > total


@given(numbers, numbers, percents, numbers)
def test_the_number_grows_step_by_step_within_its_limits(
    running: int, fitting: int, percent: float | None, most: int
) -> None:
    number = next_number(running, fitting, percent, most)
    assert 1 <= number <= min(fitting, most, 2 * running)
    if percent is None or percent >= BUSY_PERCENT:
        assert number == min(running, fitting, most)
    else:
        assert number == min(fitting, most) or number > running


@given(numbers, numbers, st.floats(0, 100), st.floats(0, 100), numbers)
def test_a_busier_gpu_never_takes_more_jobs(
    running: int, fitting: int, percent: float, other_percent: float, most: int
) -> None:
    calm, busy = sorted((percent, other_percent))
    assert next_number(running, fitting, calm, most) >= next_number(running, fitting, busy, most)


@given(sizes, sizes, sizes, sizes)
def test_larger_jobs_and_more_of_others_never_leave_more_room(total: int, others: int, size: int, more: int) -> None:
    assert fitting_jobs(total, others + more, size) <= fitting_jobs(total, others, size)
    assert fitting_jobs(total, others, size + more) <= fitting_jobs(total, others, size)


def test_a_gpu_that_one_job_leaves_idle_takes_a_second_one_and_then_as_many_as_keep_it_busy() -> None:
    assert next_number(1, 10, 20.0, 16) == 2
    assert next_number(2, 10, 40.0, 16) == 4
    assert next_number(4, 10, 80.0, 16) == 5
    assert next_number(5, 10, 90.0, 16) == 5
    assert next_number(2, 3, 10.0, 16) == 3
