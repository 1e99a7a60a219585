from __future__ import annotations

import numpy as np
import pytest

from seedfold.results.evaluation.common_set import count_note, mean_line


def test_a_whole_line_is_over_everything() -> None:
    line = mean_line({1.0: {"a": 1.0, "b": 3.0}, 2.0: {"a": 5.0, "b": 5.0}})
    assert line.x.tolist() == [1.0, 2.0]
    assert line.mean.tolist() == [2.0, 5.0]
    assert line.sd.tolist() == [2**0.5, 0.0]
    assert line.is_complete
    assert line.count_text == count_note([line], "tasks") == ""


def test_a_member_that_drops_out_counts_nowhere() -> None:
    # The easy task "c" has no value at 10: over all tasks, the mean would fall where each task rises.
    easy = {"c": 0.9}
    line = mean_line({1.0: {"a": 0.5, "b": 0.6, **easy}, 10.0: {"a": 0.6, "b": 0.7}})
    assert line.mean.tolist() == pytest.approx([0.55, 0.65])
    assert line.count_text == "2 of 3"
    assert "that all its points have" in count_note([line], "tasks")


def test_a_line_breaks_where_too_little_is_common() -> None:
    line = mean_line({1.0: {"a": 1.0, "b": 1.0, "c": 1.0}, 2.0: {"a": 2.0, "b": 2.0, "c": 2.0}, 3.0: {"d": 9.0}})
    assert line.broken
    assert line.x.tolist() == [1.0, 2.0, 3.0, 3.0]
    assert np.isnan(line.mean).tolist() == [False, False, True, False]
    assert line.count_text == "1 to 3 of 4"
    assert "Lines break" in count_note([line], "tasks")


def test_what_was_expected_and_is_nowhere_counts_as_well() -> None:
    line = mean_line({1.0: {"a": 1.0}, 2.0: {"a": 2.0}}, expected=["a", "b"])
    assert line.count_text == "1 of 2"
    assert not line.broken


def test_no_points_at_all() -> None:
    line = mean_line({})
    assert line.x.size == line.mean.size == 0
    assert line.count_text == ""
