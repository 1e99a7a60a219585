"""Files of a ledger that a crash, a disk or a person has damaged: errors name the file."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seedfold.jobs.errors import SeedfoldError, UnreachableError
from seedfold.results.store.passing_errors import try_again

_CREATION_S = 0.2


class DamagedFileError(UnreachableError):
    """A file of a study cannot be read, or holds something else than what was written."""


@contextmanager
def naming_damaged_file(path: Path, remedy: str) -> Iterator[None]:
    """Raise DamagedFileError, which names ``path`` and the ``remedy``, for what reading and parsing it raises.

    A file that is not there is no damage: FileNotFoundError passes.
    """
    try:
        yield
    except (FileNotFoundError, DamagedFileError):
        raise
    except OSError as error:
        raise DamagedFileError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    except (SeedfoldError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise DamagedFileError(f"{path}: is damaged ({reason[:200]}); {remedy}") from error


def read_record(path: Path, remedy: str) -> dict[str, Any]:
    """Read a file that holds one JSON object. Raises FileNotFoundError if there is none, else DamagedFileError."""
    with naming_damaged_file(path, remedy):
        record = json.loads(_read_whole(path))
        if not isinstance(record, dict):
            raise TypeError(f"not a JSON object: {record!r:.40}")
        return record


def _read_whole(path: Path) -> str:
    """Read a file. One that is empty is read again, because it may just be created, where there are no hard links."""
    text = try_again(lambda: path.read_text(encoding="utf-8"), path)
    if not text:
        time.sleep(_CREATION_S)
        text = try_again(lambda: path.read_text(encoding="utf-8"), path)
    return text
