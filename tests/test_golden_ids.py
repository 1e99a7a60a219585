"""Identity lives long: the shipped studies have the ids that they have always had.

If this fails, every finished job of every user would run again. A key that is new belongs, with the value that behaves
as before, under ``neutral`` in ``conf/identity/default.yaml``; a renamed one under ``renames``. Only a change that is
meant to give other results may write the record anew: ``python tests/test_golden_ids.py``.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from seedfold.jobs.study import load_study

RECORD = Path(__file__).with_name("golden_ids.json")
STUDIES = ("digits", "breast_cancer")


def ids(name: str) -> dict[str, str | int]:
    """The number of jobs of a study, its first id, and a digest of all ids and fits."""
    jobs = list(load_study([f"experiment={name}"]).jobs())
    everything = "\n".join(f"{job.id} {job.fit}" for job in jobs)
    return {"jobs": len(jobs), "first": jobs[0].id, "all": hashlib.sha256(everything.encode()).hexdigest()}


@pytest.mark.parametrize("name", STUDIES)
def test_the_ids_of_a_shipped_study_never_change(name: str) -> None:
    assert ids(name) == json.loads(RECORD.read_text())[name]


if __name__ == "__main__":
    RECORD.write_text(json.dumps({name: ids(name) for name in STUDIES}, indent=1) + "\n")
