"""Lightning trainings on a cluster, of a study and of an unchanged script, that are requeued and go on."""

from __future__ import annotations

import csv

import pytest
from clusters.conftest import SlurmProject
from lightning_program import SCRIPT
from toyproject import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.slurm]

WAITER = """

class Waiter(pl.Callback):
    def __init__(self, file="script.txt"):
        self.file = file

    def on_train_epoch_start(self, trainer, module):
        with open(f"data/{self.file}", "a") as file:
            file.write(f"{trainer.current_epoch} ")

    def on_train_batch_start(self, trainer, module, batch, number):
        while trainer.current_epoch == 2 and os.path.exists("data/hold"):
            time.sleep(0.1)


"""
STUDY = """# @package _global_
model: {_target_: train.Net, lr: 0.1}
data: {_target_: train.Data}
trainer: {max_epochs: 4, monitor: val_acc, callbacks: {_target_: train.Waiter, file: study.txt}}
"""


def test_trainings_that_are_requeued_go_on_from_their_checkpoints(project: SlurmProject) -> None:
    toy = project.toy
    modules, main = SCRIPT.split('if __name__ == "__main__":')
    main = main.replace("Killer()", "Waiter()").replace("max_epochs=5", "max_epochs=4")
    (toy.folder / "train.py").write_text(f'import time\n{modules}{WAITER}if __name__ == "__main__":{main}')
    toy.write_experiment("own", STUDY)
    toy.hold_jobs()
    # SLURM ends all processes of a task at once, but not those that forks of others have started.
    project.launch("resources.memory=2GB", "cluster.python=null", experiment="own")
    words = ("sweep", "--name", "script", "cluster=slurm", "resources.memory=2GB", "lr=0.1")
    toy.output_of(*words, "--", "python", "train.py", "--lr", "{lr}")
    begun = {name: toy.data / f"{name}.txt" for name in ("study", "script")}
    wait_until(lambda: all(file.exists() and file.read_text() == "0 1 2 " for file in begun.values()))
    for study in ("own", "script"):
        project.requeue(project.task_name(project.first_array_id(study), 0))
    wait_until(lambda: all(project.states(study).get("running", 0) == 0 for study in ("own", "script")))
    toy.release_jobs()
    for study in ("own", "script"):
        project.wait(study, done=1)
        [result] = toy.study(study).path.glob("store/*/*/epochs.csv")
        with result.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
        assert all(row["val_acc"] for row in rows)
    # Neither began anew, and neither lost more than the epoch in which it was ended.
    assert {name: file.read_text() for name, file in begun.items()} == dict.fromkeys(begun, "0 1 2 2 3 ")
