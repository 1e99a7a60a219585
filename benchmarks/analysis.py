"""What the analysis of the study of prevalence shift costs, on generated predictions in the sizes of its 30 tasks.

Each task is analysed at all 19 ratios, in one process with one thread. Figures are seconds of processor time, which
others on the machine hardly change. The peer is scikit-learn's KernelDensity on the densities of the task that takes
longest, which QuaPy takes at every ratio.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from sklearn.neighbors import KernelDensity
from threadpoolctl import threadpool_limits

import seedfold.conf
from benchmarks._figures import Figure, main, seconds
from seedfold.jobs.errors import count_noun
from seedfold.results.prevalence.calibration import calibration_rows
from seedfold.results.prevalence.decisions import decision_rows
from seedfold.results.prevalence.deployment import Deployment, PredictedSplits
from seedfold.results.prevalence.mean_predictions import PredictedSamples
from seedfold.results.prevalence.performance import performance_rows
from seedfold.results.prevalence.priors import PriorEstimator
from seedfold.results.prevalence.quantification import quantification_rows
from seedfold.results.prevalence.quantify import METHODS
from seedfold.results.prevalence.resampling import ImpossibleScalingError

RATIOS = [1 + step / 2 for step in range(19)]
SKILL = 1.5
Maker = Callable[[PredictedSplits, Sequence[Deployment]], Iterable[object]]


def class_counts() -> dict[str, list[int]]:
    """Return the training samples of each class, by task."""
    folder = Path(str(seedfold.conf.__file__)).parent
    names = yaml.safe_load((folder / "experiment" / "prevalence_shifts.yaml").read_text())["let"]["tasks"]
    return {name: yaml.safe_load((folder / "task" / f"{name}.yaml").read_text())["class_counts"] for name in names}


def predicted(counts: Sequence[int], seed: int) -> PredictedSamples:
    """Return predictions on so many samples of each class."""
    random = np.random.default_rng(seed)
    targets = np.repeat(np.arange(len(counts)), counts)
    logits = random.normal(size=(len(targets), len(counts)))
    logits[np.arange(len(targets)), targets] += SKILL
    return PredictedSamples(targets, (SKILL * logits).astype(np.float32))


def splits(trained: Sequence[int]) -> PredictedSplits:
    """Return splits in the sizes that go with a training: a sixth, a balanced tenth of the whole, a half."""
    developed = int(0.1 * sum(trained) / 0.6 / len(trained))
    sizes = ([count // 6 for count in trained], [developed] * len(trained), [count // 2 for count in trained])
    return PredictedSplits(*(predicted(counts, seed) for seed, counts in enumerate(sizes)))


def deployments(known: PredictedSplits, ratios: Sequence[float]) -> list[Deployment]:
    """Return those that are possible."""
    found = []
    for ratio in ratios:
        try:
            found.append(known.deploy(ratio))
        except ImpossibleScalingError:
            continue
    return found


def estimating(method: str) -> Maker:
    return lambda known, simulated: quantification_rows(known, simulated, [method])


def judging(table: Callable[[PredictedSplits, Sequence[Deployment], PriorEstimator], Iterable[object]]) -> Maker:
    return lambda known, simulated: table(known, simulated, PriorEstimator())


MAKERS: dict[str, Maker] = {method: estimating(method) for method in METHODS} | {
    table.__name__: judging(table) for table in (calibration_rows, performance_rows, decision_rows)
}
"""What is measured, by its name in the table."""

KERNELS = ("KDEyML", "KDEyHD", "KDEyCS")


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the processor time that ``work`` takes."""
    return seconds(work, time.process_time)


def measured(counts: Sequence[int], ratios: Sequence[float]) -> dict[str, float]:
    """Return the seconds of each maker on one task."""
    known = splits(counts)
    simulated = deployments(known, ratios)
    return {
        name: cpu_seconds(lambda maker=maker: list(maker(known, simulated)))  # type: ignore[misc]
        for name, maker in MAKERS.items()
    }


def kernel_densities(counts: Sequence[int], ratios: Sequence[float]) -> float:
    """Return the seconds of scikit-learn for what KDEyML, KDEyHD and KDEyCS of one task need at all ratios."""
    known = splits(counts)
    developed, pool = known.dev_test, known.app_test.probabilities
    fitted = [
        KernelDensity(bandwidth=0.1).fit(developed.probabilities[developed.targets == number])
        for number in range(developed.class_count)
    ]
    drawn = np.vstack([each.sample(10_000 // len(fitted), random_state=0) for each in fitted])
    whole = KernelDensity(bandwidth=0.1).fit(pool)
    once = cpu_seconds(lambda: [*(each.score_samples(pool) for each in fitted), whole.score_samples(drawn)])
    return once * len(deployments(known, ratios))


def measure(quick: bool) -> list[Figure]:
    """Analyse all tasks, or one at three ratios."""
    ratios = RATIOS[::9] if quick else RATIOS
    torch.set_num_threads(1)
    with threadpool_limits(1):
        known = class_counts()
        tasks = [min(known, key=lambda task: sum(known[task]))] if quick else known
        table = pd.DataFrame({task: measured(known[task], ratios) for task in tasks})
        longest = str(table.sum().idxmax())
        peer = kernel_densities(known[longest], ratios)
    total = table.sum(axis=1)
    number = count_noun(len(tasks), "task")
    tables = [name for name in MAKERS if name not in METHODS]
    return [
        Figure(f"CPU: KDEy of {longest}", table.loc[list(KERNELS), longest].sum(), peer, "scikit-learn KernelDensity"),
        Figure(f"CPU: all estimates of prevalence, {number}", total[list(METHODS)].sum()),
        *(Figure(f"CPU: {name}, {number}", total[name]) for name in tables),
    ]


if __name__ == "__main__":
    main(measure)
