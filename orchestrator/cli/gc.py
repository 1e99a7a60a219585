"""``seedfold gc [STUDY]``: lists the files that may be deleted, and with ``--yes`` deletes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from seedfold.jobs.errors import count_noun
from seedfold.orchestrator.cli import options
from seedfold.orchestrator.cli.console import print_json, print_text, size_text
from seedfold.orchestrator.ledger.copy_origin import refuse_copy
from seedfold.orchestrator.ledger.deleted_studies import find_rests, remove_rest
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.garbage_collection import (
    DELETABLE_KINDS,
    DeletableFinder,
    DeletableKind,
    DeletablePath,
    delete_paths,
    find_in_root,
    short_id,
    size_of,
)

_MAX_LISTED = 20
_KIND_TEXTS: dict[DeletableKind, str] = {
    "leftovers": "unfinished results of ended attempts, and results that were replaced by newer ones",
    "snapshots": "copies of the code that no job and no result needs",
    "superseded": "results and checkpoints of jobs that were replaced",
    "failed": "checkpoints of failed jobs; without them, resume starts these jobs from the beginning",
    "checkpoints": "checkpoints of finished jobs; without them, a new prediction has to train again",
}


@click.command()
@options.study_or_all
@click.option("--checkpoints", is_flag=True, help=f"Also: {_KIND_TEXTS['checkpoints']}.")
@click.option("--superseded", is_flag=True, help=f"Also: {_KIND_TEXTS['superseded']}.")
@click.option("--failed", is_flag=True, help=f"Also: {_KIND_TEXTS['failed']}.")
@click.option("--yes", is_flag=True, help="Delete the listed files.")
@options.as_json
@options.common
def command(
    study: str | None, checkpoints: bool, superseded: bool, failed: bool, yes: bool, as_json: bool, root: Root
) -> None:
    """List the files of a study that may be deleted, with their sizes; delete them with --yes. Without a STUDY, do so
    for all studies of the root.

    The list never has files that running or unfinished jobs need, and never the result of a current job.
    """
    asked_kinds = {
        "leftovers": True,
        "snapshots": True,
        "superseded": superseded,
        "failed": failed,
        "checkpoints": checkpoints,
    }
    if study is None:
        _collect_in_root(root, asked_kinds, yes, as_json)
        return
    refuse_copy(root.existing_study(study))
    garbage = DeletableFinder(root, study).deletable
    chosen = [one for one in garbage if asked_kinds[one.kind]]
    freed = delete_paths(chosen) if yes else 0
    if as_json:
        print_json(_to_json(study, chosen, freed, yes))
        return
    for kind in DELETABLE_KINDS:
        _print_kind(kind, [one for one in garbage if one.kind == kind], asked_kinds[kind])
    _print_total(len(chosen), sum(one.size for one in chosen), freed, yes)


def _collect_in_root(root: Root, asked_kinds: Mapping[str, bool], yes: bool, as_json: bool) -> None:
    """Do the same for all studies of a root, and remove what interrupted deletions of studies have left."""
    found = find_in_root(root)
    chosen = {name: [one for one in garbage if asked_kinds[one.kind]] for name, garbage in found.items()}
    rests = [(name, path, size_of(path)) for name, path in find_rests(root)]
    freed = {name: delete_paths(paths) if yes else 0 for name, paths in chosen.items()}
    for _, path, _ in rests if yes else ():
        remove_rest(path)
    total = sum(one.size for paths in chosen.values() for one in paths) + sum(size for _, _, size in rests)
    if as_json:
        studies = [_to_json(name, paths, freed[name], yes) for name, paths in chosen.items()]
        half_deleted = [{"study": name, "path": str(path), "bytes": size} for name, path, size in rests]
        print_json({"deleted": yes, "bytes": total, "studies": studies, "half_deleted": half_deleted})
        return
    for name, garbage in found.items():
        _print_study(name, garbage, asked_kinds)
    print_text(*(f"{size_text(size):>9}  {name}: rest of an interrupted deletion" for name, _, size in rests))
    _print_total(sum(map(len, chosen.values())) + len(rests), total, total, yes)


def _print_study(name: str, garbage: Sequence[DeletablePath], asked_kinds: Mapping[str, bool]) -> None:
    """One line for a study: what there is of each kind."""
    parts = [
        f"{count_noun(len(paths), 'item')} of {kind}{'' if asked_kinds[kind] else f' (with --{kind})'}"
        for kind in DELETABLE_KINDS
        if (paths := [one for one in garbage if one.kind == kind])
    ]
    asked_size = size_text(sum(one.size for one in garbage if asked_kinds[one.kind]))
    print_text(f"{asked_size:>9}  {name}: {', '.join(parts) or 'nothing'}")


def _print_total(count: int, total: int, freed: int, yes: bool) -> None:
    if yes:
        print_text(f"deleted {count_noun(count, 'item')}, {size_text(freed)}", style="bold")
    else:
        print_text(f"{count_noun(count, 'item')}, {size_text(total)}; to delete them: add --yes", style="bold")


def _to_json(study: str, chosen: Sequence[DeletablePath], freed: int, deleted: bool) -> dict[str, object]:
    listed = [
        {"kind": one.kind, "path": str(one.path), "job": one.job_id, "why": one.reason, "bytes": one.size}
        for one in chosen
    ]
    return {
        "study": study,
        "deleted": deleted,
        "bytes": sum(one.size for one in chosen),
        "freed": freed,
        "items": listed,
    }


def _print_kind(kind: DeletableKind, garbage: Sequence[DeletablePath], is_asked: bool) -> None:
    size = size_text(sum(one.size for one in garbage))
    option = "" if is_asked else f" (with --{kind})"
    print_text(f"{kind}: {len(garbage)}, {size}: {_KIND_TEXTS[kind]}{option}", style="" if is_asked else "dim")
    if is_asked:
        print_text(
            *(
                f"  {size_text(one.size):>9}  {short_id(one.job_id)}  {one.path.name}  {one.reason}"
                for one in garbage[:_MAX_LISTED]
            )
        )
        if len(garbage) > _MAX_LISTED:
            print_text(f"  … and {len(garbage) - _MAX_LISTED} more; --json lists all")
