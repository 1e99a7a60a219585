"""``seedfold archive``: a study as one file, to keep or to give away; ``--check`` and ``--open`` read such a file."""

from __future__ import annotations

import time
from pathlib import Path

import click

from seedfold.jobs.errors import UsageError, count_noun
from seedfold.orchestrator.cli import completion_values, options
from seedfold.orchestrator.cli.console import print_text, size_text
from seedfold.orchestrator.copies.archive import ArchiveSummary, check_archive, open_archive, write_archive
from seedfold.orchestrator.ledger.copy_origin import is_copy
from seedfold.orchestrator.ledger.layout import Root
from seedfold.orchestrator.state.overview import Overview
from seedfold.orchestrator.state.study_uses import refuse_active
from seedfold.results.store.named_output import refuse_folder


@click.command()
@click.argument("words", nargs=-1, metavar="STUDY FILE", shell_complete=completion_values.studies)
@click.option("--check", is_flag=True, help="With FILE alone: read an archive, and compare every file in it.")
@click.option("--open", "opens", is_flag=True, help="With FILE and FOLDER: unpack an archive there, as a root to read.")
@click.option("--checkpoints", is_flag=True, help="Also keep checkpoints.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@options.common
def command(words: tuple[str, ...], check: bool, opens: bool, checkpoints: bool, force: bool, root: Root) -> None:
    """Write a STUDY to one FILE (.tar.zst): descriptions, results, logs, code, files for people, a report, and tables
    as CSV and Parquet, each with its checksum.

    A study of which jobs run or are queued is not archived. Studies that have done jobs of it are in the file as well.
    """
    if check and opens:
        raise UsageError("--check, --open: give only one of them; --open checks the archive as well")
    expected = ("FILE",) if check else ("FILE", "FOLDER") if opens else ("STUDY", "FILE")
    if len(words) != len(expected):
        raise UsageError(f"archive: expected {' '.join(expected)}; see seedfold archive --help")
    if check:
        print_text(f"{words[0]}: whole; {_text(check_archive(Path(words[0])))}")
    elif opens:
        opened = open_archive(Path(words[0]), Path(words[1]).absolute())
        print_text(_text(opened), f"to read it: seedfold status {opened.studies[0]} --root {words[1]}")
    else:
        _archive(root, words[0], Path(words[1]), checkpoints, force)


def _archive(root: Root, name: str, file: Path, checkpoints: bool, force: bool) -> None:
    from seedfold.orchestrator.views.archived_files import make_files

    refuse_folder("archive", file)
    if not file.name.endswith(".tar.zst"):
        raise UsageError(f"archive {file}: the name of an archive ends in .tar.zst")
    if file.exists() and not force:
        raise UsageError(f"archive {file}: exists already; replace it with --force, or name another file")
    study = root.existing_study(name)
    overview = Overview(root, name, with_removed=True) if is_copy(study) else refuse_active(root, study, "archived")
    holders = {view.job_state.holding_study.name: view.job_state.holding_study for view in overview.job_views()}
    others = [holders[other] for other in sorted(holders) if other != study.name]
    written = write_archive([study, *others], make_files(overview), file.absolute(), checkpoints)
    print_text(f"{file}: {size_text(file.stat().st_size)}; {_text(written)}")
    print_text(f"to check it: seedfold archive --check {file}", style="dim")


def _text(summary: ArchiveSummary) -> str:
    first, *others = summary.studies
    also = f", with {', '.join(others)}, which did jobs of it" if others else ""
    moment = time.strftime("%Y-%m-%d %H:%M", time.localtime(summary.time))
    files = count_noun(summary.files, "file")
    return f"study {first}{also}, as it was {moment}: {files}, {size_text(summary.bytes)} unpacked"
