"""How many files a job costs: file systems of clusters count them, and a study has thousands of jobs."""

from __future__ import annotations

from collections import Counter

from toyproject import Toy

QUIET = """# @package _global_
study: quiet
run: toy.light.summary
matrix:
  seed: range(0,3)
"""


def test_a_job_leaves_a_claim_and_a_result_beside_its_own_files(toy: Toy) -> None:
    toy.write_experiment("quiet", QUIET)
    assert toy.launch(experiment="quiet").returncode == 0
    toy.wait_for_workers()
    study = toy.study("quiet").path
    files = [file.relative_to(study) for file in study.rglob("*") if file.is_file()]
    by_folder = Counter(file.parts[0] for file in files)
    assert (by_folder["claims"], by_folder["store"], by_folder["jobs"]) == (3, 6, 0)
    assert (by_folder["events"], by_folder["plans"]) == (1, 1)
    # A job that has printed nothing has an empty log.
    assert toy.output_of("logs", "--study", "quiet", "seed=1") == ""
    assert toy.json_of("show", "--study", "quiet", "seed=1")["attempts"][0]["log"] is None
