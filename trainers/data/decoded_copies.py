"""Images that are decoded once on each machine, and not by each job in each epoch, if there is a place for them.

With ``paths.scratch`` the first job that needs them decodes all images of its source into a file there; the others wait
for that, and all read from it by position. So the memory that the machine keeps of the file serves all of them, and a
job that is killed leaves nothing that has to be removed. The name of the file is a digest of what decides its content:
paths, sizes and times of the files, and how they are decoded.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from seedfold.jobs.work import DataFailure
from seedfold.trainers.data.file_inputs import FileInputs
from seedfold.trainers.data.image_cache import CachedImages, npy_header
from seedfold.trainers.data.node_copies import node_copy
from seedfold.trainers.data.samples import Floats, StoredInputs

_FORM = 1
"""To be raised when images are decoded to other pixels."""
_BLOCK = 64
_log = logging.getLogger(__name__)


def files_identity(files: list[Path], decoder: object) -> str:
    """Return what decides the pixels of these files, read by ``decoder``; raises OSError for one that is missing."""
    import PIL

    found = [(str(file.absolute()), status.st_size, status.st_mtime_ns) for file in files for status in [file.stat()]]
    text = json.dumps([_FORM, PIL.__version__, repr(decoder), found])
    return hashlib.sha256(text.encode()).hexdigest()


def decode_once(inputs: Floats | StoredInputs, scratch: str | None) -> Floats | StoredInputs:
    """Return inputs that read decoded images below ``scratch``; the given ones if they are others, or without it.

    The given ones as well if an image cannot be decoded, so that the job that needs it says so, or if there is no room.
    """
    if not scratch or not isinstance(inputs, FileInputs) or inputs.identity is None:
        return inputs
    size = len(npy_header((len(inputs), *inputs.shape))) + len(inputs) * inputs.sample_bytes
    try:
        return CachedImages(node_copy(scratch, inputs.identity(), ".npy", size, lambda file: _write(inputs, file)))
    except (OSError, DataFailure) as error:
        _log.warning("images are decoded again for each batch, and not once below paths.scratch: %s", error)
        return inputs


def _write(inputs: FileInputs, file: Path) -> None:
    with file.open("xb") as opened:
        opened.write(npy_header((len(inputs), *inputs.shape)))
        for begin in range(0, len(inputs), _BLOCK):
            images: np.ndarray[Any, Any] = inputs.gather(slice(begin, begin + _BLOCK))
            opened.write(np.ascontiguousarray(images).data)
