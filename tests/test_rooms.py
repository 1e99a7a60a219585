"""Imports go one way: from a room to those that stand above it in the table of ``docs/development.md``."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

HERE = Path(__file__).parent.parent
TOPS = ("jobs", "results", "trainers", "orchestrator")
_SECTION = (HERE / "docs" / "development.md").read_text().split("## The rooms")[1].split("\n## ")[0]
ROOMS = re.findall(r"^\| `([\w.]+)` \|", _SECTION, re.MULTILINE)
MOST_LINES = 400
Imports = dict[str, set[str]]


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(HERE).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_name(file): file for top in TOPS for file in sorted((HERE / top).rglob("*.py"))}


def imported(tree: ast.AST) -> set[str]:
    """Every module of Seedfold that is imported anywhere in a file: in functions, and for type checkers, as well."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return {name.removeprefix("seedfold.") for name in found if name.startswith("seedfold.")} & FILES.keys()


@pytest.fixture(scope="module")
def imports() -> Imports:
    return {name: imported(ast.parse(file.read_text())) - {name} for name, file in FILES.items()}


def room_of(module: str) -> str | None:
    """The room of a module; None for the few that stand at the top of a folder."""
    return next((room for room in ROOMS if f"{module}.".startswith(f"{room}.")), None)


def test_every_folder_is_a_room_of_the_table() -> None:
    folders = {
        module_name(folder / "__init__.py")
        for top in TOPS
        for folder in (HERE / top).iterdir()
        if any(folder.glob("*.py"))
    }
    assert folders == set(ROOMS) - {"jobs"}
    strangers = {name for name in FILES if room_of(name) is None}
    # `python -m seedfold.trainers` is documented: the file has to stand there.
    assert strangers == {"results", "trainers", "orchestrator", "trainers.__main__"}


def test_rooms_import_from_rooms_above_them_alone(imports: Imports) -> None:
    wrong = []
    for name, others in imports.items():
        for other in others:
            room, its = room_of(name), room_of(other)
            if room is None or its is None or room == its:
                continue
            upwards = ROOMS.index(its) > ROOMS.index(room)
            if upwards or (room.startswith("orchestrator.") and its.startswith("trainers.")):
                wrong.append(f"{name} imports {other}")
    assert wrong == []


def test_no_module_imports_one_that_imports_it(imports: Imports) -> None:
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_a_study_is_imported_by_nothing_outside_of_it(imports: Imports) -> None:
    def study(module: str) -> str | None:
        found = re.match(r"trainers\.studies\.(\w+)\.", f"{module}.")
        return found[1] if found and (HERE / "trainers" / "studies" / found[1]).is_dir() else None

    assert [
        f"{name} imports {other}"
        for name, others in imports.items()
        for other in others
        if study(other) is not None and study(name) != study(other)
    ] == []


def test_no_module_is_long() -> None:
    lengths = {name: len(file.read_text().splitlines()) for name, file in FILES.items()}
    assert {name: lines for name, lines in lengths.items() if lines >= MOST_LINES} == {}


def test_every_room_says_what_it_is_for_and_which_file_to_read_first() -> None:
    for room in ROOMS:
        text = ast.get_docstring(ast.parse(FILES[room].read_text())) or ""
        first = re.search(r"Read `([\w.]+)` first", " ".join(text.split()))
        assert first, room
        assert f"{room}.{first[1]}" in FILES, room
