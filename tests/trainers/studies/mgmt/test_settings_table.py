"""A table of hyper-parameters that somebody made for another program runs as it is."""

from __future__ import annotations

from pathlib import Path

from seedfold.jobs.study import load_study

STUDY = """# @package _global_
defaults:
  - mgmt
  - _self_
stages:
  train:
    table: {file: theirs.csv, columns: {convs: model.blocks, normalisation: model.norm, rate: optimizer.lr, part: fold}}
    matrix: {fold: null}
"""
TABLE = """number,convs,normalisation,rate,part
7,"[3,3,3,3,3]",batch,1e-4,0
8,"[4,4,3,2,2]",group,3e-4,2
"""


def test_columns_of_other_names_become_keys_and_the_folds_of_the_table_count(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(STUDY)
    (tmp_path / "experiment" / "theirs.csv").write_text(TABLE)
    jobs = [job for job in load_study(["experiment=mine"], config_dirs=[tmp_path]).jobs() if job.stage == "train"]
    found = [
        (job.axes["seed"], job.config["model"]["blocks"], job.config["optimizer"]["lr"], job.axes["fold"])
        for job in jobs
    ]
    rows = [([3, 3, 3, 3, 3], 1e-4, 0), ([4, 4, 3, 2, 2], 3e-4, 2)]
    assert sorted(found) == sorted((seed, *row) for seed in (0, 1) for row in rows)
    assert {job.config["model"]["norm"] for job in jobs} == {"batch", "group"}
