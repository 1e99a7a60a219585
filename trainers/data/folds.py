"""Which samples are held out for testing, and which validate in each fold.

The test samples are drawn first, or are those that the data itself holds out; the rest, the development samples, are
divided into k folds. Each development sample validates in exactly one fold; with a grouped kind, no group is on both
sides of a division. The divisions depend on the samples and the seeds only, never on a training seed.

Kinds: ``kfold``, ``stratified`` (by class), ``grouped`` and ``stratified_grouped`` are scikit-learn's splitters;
``permuted`` takes positions in a permutation modulo k; ``dealt`` (by class and group, however small) and
``triple_stratified`` (whole groups) are those of `seedfold.trainers.data.stratified_parts`; ``given`` takes the folds
that the data names. With ``over: all``, all samples are divided, and then the test samples are taken out. Samples may
first be divided into shards, or be stored in shards; whole shards then form the folds.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.data.samples import Indices, Samples
from seedfold.trainers.data.stratified_parts import stratify, triple_stratify

DivisionKind = Literal["kfold", "permuted", "stratified", "grouped", "stratified_grouped", "dealt", "triple_stratified"]
GIVEN_KIND = "given"
_HOLD_OUT_KINDS = ("kfold", "permuted", "stratified", "grouped", "stratified_grouped")
_GROUPED_KINDS = ("grouped", "stratified_grouped", "triple_stratified")
_SHARDS_AS_READ = "as_read"


@dataclass(frozen=True)
class Division:
    """Rows of the data set, ascending: ``train``, ``val`` and ``test`` have no row in common."""

    train: Indices
    val: Indices
    test: Indices


def divide_samples(samples: Samples, task: Mapping[str, Any], fold: int) -> Division:
    """Divide as ``task.test`` and ``task.folds`` say and take fold ``fold`` (from 0) for validation.

    Raises ConfigFailure for invalid settings, DataFailure if the samples cannot be divided in this way.
    """
    development, test = hold_out(samples, task.get("test"))
    folds = make_development_folds(samples, task, development)
    if not 0 <= fold < len(folds):
        raise ConfigFailure(f"fold: {fold} is not among the {len(folds)} folds (0 to {len(folds) - 1}) of task.folds")
    is_validation = np.zeros(len(development), dtype=bool)
    is_validation[folds[fold]] = True
    return Division(development[~is_validation], development[is_validation], test)


def hold_out(samples: Samples, settings: Mapping[str, Any] | None) -> tuple[Indices, Indices]:
    """Return (development, test) rows. ``settings``: ``fraction`` of the samples, ``kind``, ``seed``; None for none.

    With ``kind: given`` the data says which samples are held out, and ``fraction`` and ``seed`` are not used. Without
    groups the fraction is exact to one sample; with groups it is as close as whole groups allow
    (``stratified_grouped`` takes one of round(1 / fraction) folds).
    """
    all_rows = np.arange(len(samples), dtype=np.int64)
    if settings and settings.get("kind") == GIVEN_KIND:
        return _rows_by_source(samples)
    if not settings or not settings["fraction"]:
        return all_rows, all_rows[:0]
    fraction, kind, seed = (
        float(settings["fraction"]),
        _require_kind(settings["kind"], "task.test.kind"),
        settings["seed"],
    )
    if kind not in _HOLD_OUT_KINDS:
        raise ConfigFailure(
            f"task.test.kind: {kind} is only for folds; test samples are drawn as {', '.join(_HOLD_OUT_KINDS)}"
        )
    if not 0 < fraction < 1:
        raise ConfigFailure(f"task.test.fraction: {fraction} is not between 0 and 1")
    from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit, StratifiedGroupKFold, StratifiedShuffleSplit

    splitters = {
        "kfold": ShuffleSplit,
        "permuted": ShuffleSplit,
        "stratified": StratifiedShuffleSplit,
        "grouped": GroupShuffleSplit,
    }
    if kind == "stratified_grouped":
        splitter = StratifiedGroupKFold(max(2, round(1 / fraction)), shuffle=True, random_state=seed)
    else:
        splitter = splitters[kind](n_splits=1, test_size=fraction, random_state=seed)
    _check_groups(samples, kind, "task.test")
    development, test = _run_splitter(splitter, samples, kind, "task.test")[0]
    return np.sort(development), np.sort(test)


def _rows_by_source(samples: Samples) -> tuple[Indices, Indices]:
    if samples.held_out is None:
        raise ConfigFailure("task.test.kind: this source holds no samples out by itself; give kind, fraction and seed")
    return np.flatnonzero(~samples.held_out), np.flatnonzero(samples.held_out)


def make_permuted_folds(n: int, k: int, seed: int) -> list[Indices]:
    """Return the rows of each fold: the fold of a row is its number in a permutation of 0 … n - 1, modulo ``k``.

    The permutation is that of ``numpy.random.RandomState(seed)``, the same with every version of NumPy.
    """
    if n < k:
        raise DataFailure(f"task.folds: {n} samples cannot be divided into {k} folds")
    numbers = np.random.RandomState(seed).permutation(n) % k
    return [np.flatnonzero(numbers == fold) for fold in range(k)]


def make_development_folds(samples: Samples, task: Mapping[str, Any], development: Indices) -> list[Indices]:
    """Return for each fold the positions in ``development`` that validate, ascending. Raises as `divide_samples`.

    With ``task.folds.over: all``, folds are made of all samples, and then cut to those of development.
    """
    over = (task.get("folds") or {}).get("over", "development")
    if over not in ("development", "all"):
        raise ConfigFailure(f"task.folds.over: {over!r} is not one of development, all")
    if over == "development":
        return make_task_folds(samples.take(development), task)
    is_development = np.isin(np.arange(len(samples)), development)
    folds = [rows[is_development[rows]] for rows in make_task_folds(samples, task)]
    return [np.searchsorted(development, rows) for rows in folds]


def make_task_folds(samples: Samples, task: Mapping[str, Any]) -> list[Indices]:
    """Return the rows, ascending, that validate in each fold, as ``task.folds`` says. Raises as `divide_samples`."""
    settings = task.get("folds")
    if not settings:
        raise ConfigFailure("task.folds: is missing; give kind, k and seed")
    kind, k, seed = settings["kind"], int(settings["k"]), int(settings["seed"])
    if kind == GIVEN_KIND:
        return _given_folds(samples, k)
    shards = make_task_shards(samples, task)
    if shards is None:
        return make_folds(samples, kind, k, seed)
    if kind not in ("kfold", "permuted"):
        raise ConfigFailure(f"task.folds.kind: {kind!r}: shards are divided as kfold or permuted; stratify the shards")
    numbers = np.unique(shards)
    folds_of_shards = make_folds(_shards_as_samples(len(numbers)), kind, k, seed)
    return [np.flatnonzero(np.isin(shards, numbers[rows])).astype(np.int64) for rows in folds_of_shards]


def _given_folds(samples: Samples, k: int) -> list[Indices]:
    if samples.shards is None:
        raise ConfigFailure("task.folds.kind: given needs task.source.fold, the column with the fold of each sample")
    known = np.unique(samples.shards[samples.shards >= 0])
    if not np.array_equal(known, np.arange(k)):
        found = ", ".join(map(str, known.tolist()))
        raise DataFailure(f"task.folds: the data has the folds {found}, and task.folds.k needs 0 to {k - 1}")
    return [np.flatnonzero(samples.shards == fold).astype(np.int64) for fold in range(k)]


def make_task_shards(samples: Samples, task: Mapping[str, Any]) -> Indices | None:
    """Return the shard (n,) of each sample, as read or as ``task.folds.shards`` divides them; None without shards."""
    settings = task["folds"].get("shards")
    return None if settings is None else make_shards(samples, settings, _SHARDS_KEY)


def make_shards(samples: Samples, settings: Mapping[str, Any] | str, key: str) -> Indices:
    """Return the shard (n,) of each sample: ``as_read``, or by kind, count and seed. Errors name ``key``."""
    if isinstance(settings, str):
        if settings != _SHARDS_AS_READ or samples.shards is None:
            problem = (
                "but the samples of this source come in none"
                if settings == _SHARDS_AS_READ
                else "which is not a way to divide samples"
            )
            raise ConfigFailure(f"{key}: {settings}, {problem}; give kind, count and seed")
        return samples.shards
    parts = make_folds(samples, settings["kind"], int(settings["count"]), int(settings["seed"]), key)
    shards = np.empty(len(samples), dtype=np.int64)
    for number, rows in enumerate(parts):
        shards[rows] = number
    return shards


def _shards_as_samples(count: int) -> Samples:
    """Return shards in the form of samples, so that they can be divided into folds."""
    return Samples(tuple(map(str, range(count))), np.zeros((count, 1), np.float32), np.zeros(count, np.int64))


_SHARDS_KEY = "task.folds.shards"


def make_folds(samples: Samples, kind: str, k: int, seed: int, key: str = "task.folds") -> list[Indices]:
    """Return the rows that validate in each of the ``k`` folds, drawn by ``seed``."""
    known_kind = _require_kind(kind, f"{key}.kind")
    if k < 2:
        raise ConfigFailure(f"{key}.k: {k} folds leave nothing to train on; give at least 2")
    _check_groups(samples, known_kind, key)
    if known_kind == "permuted":
        return make_permuted_folds(len(samples), k, seed)
    parts = _stratified_parts(samples, known_kind, k, seed)
    if parts is None:
        return _sklearn_folds(samples, known_kind, k, seed, key)
    if len(np.unique(parts)) < k:
        raise DataFailure(f"{key}: {len(samples)} samples cannot be divided into {k} parts as {kind}")
    return [np.flatnonzero(parts == number).astype(np.int64) for number in range(k)]


def _stratified_parts(samples: Samples, kind: DivisionKind, k: int, seed: int) -> Indices | None:
    if kind == "dealt":
        return stratify([samples.targets, *([] if samples.groups is None else [samples.groups])], k, seed)
    if kind == "triple_stratified":
        assert samples.groups is not None
        return triple_stratify(samples.targets, samples.groups, k, seed)
    return None


def _sklearn_folds(samples: Samples, kind: DivisionKind, k: int, seed: int, key: str) -> list[Indices]:
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    splitters = {
        "kfold": KFold,
        "stratified": StratifiedKFold,
        "grouped": GroupKFold,
        "stratified_grouped": StratifiedGroupKFold,
    }
    splitter = splitters[kind](k, shuffle=True, random_state=seed)
    return [val for _, val in _run_splitter(splitter, samples, kind, key)]


def _check_groups(samples: Samples, kind: DivisionKind, key: str) -> None:
    if kind in _GROUPED_KINDS and samples.groups is None:
        raise ConfigFailure(f"{key}.kind: {kind} needs task.source.group, the column that names each sample's group")


def _require_kind(value: object, key: str) -> DivisionKind:
    for kind in get_args(DivisionKind):
        if value == kind:
            checked: DivisionKind = kind
            return checked
    raise ConfigFailure(f"{key}: {value!r} is not one of {', '.join(get_args(DivisionKind))}")


def _run_splitter(splitter: Any, samples: Samples, kind: DivisionKind, key: str) -> list[tuple[Indices, Indices]]:
    grouped = kind in _GROUPED_KINDS
    try:
        with warnings.catch_warnings():  # A class with fewer samples than folds would be missing in some fold.
            warnings.filterwarnings("error", message="The least populated class", category=UserWarning)
            return list(splitter.split(np.zeros(len(samples)), samples.targets, samples.groups if grouped else None))
    except (ValueError, UserWarning) as error:
        raise DataFailure(f"{key}: {len(samples)} samples cannot be divided: {error}") from error
