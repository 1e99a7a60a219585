"""``seedfold import FILE… --study STUDY``: predictions that were made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import print_text
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.imported_code import find_code_files
from seedfold.orchestrator.state.imported_predictions import ImportResult, import_predictions
from seedfold.orchestrator.state.overview import job_label


@click.command()
@click.argument("files", metavar="[SPLIT=]FILE...", nargs=-1, required=True)
@click.option(
    "--study", metavar="STUDY", required=True, help="Study to import into; it is created if it does not exist."
)
@click.option(
    "--set",
    "given",
    metavar="KEY=VALUE",
    multiple=True,
    help="Axis value of the predictions, e.g. task=thorax; repeatable.",
)
@click.option("--split-column", metavar="NAME", help="Column with the split of each row; default: split.")
@click.option("--classes", metavar="NAMES", help="If targets are names: the classes in the order of the logits.")
@click.option("--unlabelled", is_flag=True, help="Also import samples of unknown class, such as those of a deployment.")
@click.option("--replace", "replaces", is_flag=True, help="Replace other predictions with the same axis values.")
@click.option(
    "--code", metavar="FILE", multiple=True, help="File or package of code that made the predictions; repeatable."
)
@options.local
def command(
    files: Sequence[str],
    study: str,
    given: Sequence[str],
    split_column: str | None,
    classes: str | None,
    unlabelled: bool,
    replaces: bool,
    code: Sequence[str],
    root: Root,
) -> None:
    """Import the predictions of one model into a STUDY, as a job that is done.

    A FILE is a csv or parquet file with the columns sample_id, target, logit_0, … or prob_0, …, and split, or a file in
    which torch saved a list of {logits, target, sample_id}. With SPLIT=FILE all rows of the file belong to that split.
    The order of the rows is kept.

    With --code, tables keep apart what was made before and after a change of these files.
    """
    from seedfold.results.imports.predictions import PredictionFile
    from seedfold.results.imports.rows import ReadOptions

    sources = [PredictionFile.parse(text) for text in files]
    options = ReadOptions(split_column, _parse_classes(classes), unlabelled)
    code_files = find_code_files(code)
    imported = import_predictions(root, study, sources, _parse_axes(given), options, replaces, code_files)
    _print_imported(study, imported)


def _parse_classes(text: str | None) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",")) if text is not None else ()
    if text is not None and (not all(names) or len(set(names)) < len(names) or len(names) < 2):
        raise UsageError(
            f"--classes {text}: expected the names of two or more classes, each once: --classes normal,fracture"
        )
    return names


def _parse_axes(overrides: Sequence[str]) -> dict[str, Any]:
    """Read axis values as Hydra does. Raises UsageError unless each key has exactly one value."""
    from seedfold.jobs.axis_values import override_values
    from seedfold.jobs.compose import Composer
    from seedfold.jobs.stages import check_axis_name

    axes: dict[str, Any] = {}
    composer = Composer()
    for override in composer.parse_overrides(list(overrides)):
        key, values = override.key_or_group, override_values(override)
        if override.is_delete() or len(values) != 1 or key in axes:
            raise UsageError(f"--set {override.input_line}: expected one KEY=VALUE for each axis")
        axes[check_axis_name(composer, "--set", key)] = values[0]
    return axes


def _print_imported(study: str, imported: ImportResult) -> None:
    samples_text = ", ".join(f"{split} {count}" for split, count in imported.samples_by_split.items())
    verb = "was imported before" if imported.was_known else "imported"
    labels_text = f"; without labels: {', '.join(imported.unlabelled)}" if imported.unlabelled else ""
    print_text(
        f"{study}: {verb}: {job_label(imported.job)}",
        f"  {imported.class_count} classes; samples: {samples_text}{labels_text}",
    )
