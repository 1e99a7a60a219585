"""``seedfold import FILE… --study STUDY``: predictions that were made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from seedfold.jobs.errors import UsageError
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import print_text
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.imported_predictions import ImportResult, import_predictions
from seedfold.orchestrator.state.overview import job_label


@click.command()
@click.argument("files", metavar="[SPLIT=]FILE...", nargs=-1, required=True)
@click.option("--study", metavar="STUDY", required=True, help="The study that takes them in; made if there is none.")
@click.option("--set", "given", metavar="KEY=VALUE", multiple=True, help="An axis, e.g. task=thorax; repeatable.")
@click.option("--split-column", metavar="NAME", help="The column that names each row's split; else `split`.")
@click.option("--classes", metavar="NAMES", help="Where targets are names: the classes in the order of the logits.")
@click.option("--unlabelled", is_flag=True, help="Take in samples whose class nobody knows, such as a deployment's.")
@click.option("--replace", "replaces", is_flag=True, help="Put them in the place of others with the same axes.")
@options.local
def command(
    files: Sequence[str],
    study: str,
    given: Sequence[str],
    split_column: str | None,
    classes: str | None,
    unlabelled: bool,
    replaces: bool,
    root: Root,
) -> None:
    """Take one model's predictions into a STUDY, as a job that is done.

    A FILE is csv or parquet with sample_id, target, logit_0, … or prob_0, …, and split; or a list of {logits, target,
    sample_id} that torch saved. SPLIT=FILE says which split all of a file is. Rows keep their order.
    """
    from seedfold.results.imports.predictions import PredictionFile
    from seedfold.results.imports.rows import ReadOptions

    sources = [PredictionFile.parse(text) for text in files]
    options = ReadOptions(split_column, _parse_classes(classes), unlabelled)
    imported = import_predictions(root, study, sources, _parse_axes(given), options, replaces)
    _print_imported(study, imported)


def _parse_classes(text: str | None) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",")) if text is not None else ()
    if text is not None and (not all(names) or len(set(names)) < len(names) or len(names) < 2):
        raise UsageError(
            f"--classes {text}: names of two or more classes are meant, each once: --classes normal,fracture"
        )
    return names


def _parse_axes(overrides: Sequence[str]) -> dict[str, Any]:
    """Axis values, read as Hydra reads them. Raises UsageError for anything but one value per key."""
    from seedfold.jobs.compose import Composer
    from seedfold.jobs.grammar import override_values
    from seedfold.jobs.schema import check_axis_name

    axes: dict[str, Any] = {}
    composer = Composer()
    for override in composer.parse_overrides(list(overrides)):
        key, values = override.key_or_group, override_values(override)
        if override.is_delete() or len(values) != 1 or key in axes:
            raise UsageError(f"--set {override.input_line}: one KEY=VALUE per axis is meant")
        axes[check_axis_name(composer, "--set", key)] = values[0]
    return axes


def _print_imported(study: str, imported: ImportResult) -> None:
    samples_text = ", ".join(f"{split} {count}" for split, count in imported.samples_by_split.items())
    verb = "is there already" if imported.was_known else "imported"
    labels_text = f"; without labels: {', '.join(imported.unlabelled)}" if imported.unlabelled else ""
    print_text(
        f"{study}: {verb}: {job_label(imported.job)}",
        f"  {imported.class_count} classes; samples: {samples_text}{labels_text}",
    )
