"""Which modules of a process count as the user's."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from seedfold.orchestrator.code.loaded_files import loaded_files


class Namespace(ModuleType):
    """As PyTorch's `torch.ops`: the name of a file stands in the class."""

    __file__ = "_ops.py"


def test_a_module_without_a_file_is_not_a_file_of_that_name_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "_ops.py").write_text("")
    (tmp_path / "networks.py").write_text("")
    real = ModuleType("networks")
    real.__file__ = str(tmp_path / "networks.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "framework.ops", Namespace("framework.ops"))
    monkeypatch.setitem(sys.modules, "networks", real)
    found = loaded_files()
    assert "networks.py" in found
    assert not any(path.name == "_ops.py" for path, _ in found.values())
