"""Small pictures of samples beside their predictions: one Parquet file for each split, with an id and a PNG in a row.

They are for people only: nothing is computed from them. Reading them decodes no picture.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from seedfold.jobs.work import DataFailure
from seedfold.results.store.predictions import file_name

MOST_THUMBNAILS = 1000
LONGEST_SIDE = 64
"""In pixels."""
MOST_BYTES = 1 << 16
"""Of one picture."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def thumbnails_file(split: str) -> str:
    """Return the name of a split's file. Raises DataFailure for a split that cannot name one."""
    return file_name(split).replace("predictions.", "thumbnails.", 1)


def write_thumbnails(folder: Path, split: str, pictures: Mapping[str, bytes]) -> None:
    """Write the PNG of each sample, and wait until they are on disk.

    Raises DataFailure for too many of them, and for what is no PNG or a large one.
    """
    if len(pictures) > MOST_THUMBNAILS:
        raise DataFailure(f"split {split!r}: {len(pictures)} thumbnails; at most {MOST_THUMBNAILS} are kept")
    wrong = next((sample for sample, picture in pictures.items() if not is_thumbnail(picture)), None)
    if wrong is not None:
        raise DataFailure(f"split {split!r}: the thumbnail of {wrong!r} is no PNG of at most {MOST_BYTES} bytes")
    table = pa.table(
        {
            "sample_id": pa.array(list(pictures), type=pa.string()),
            "png": pa.array(list(pictures.values()), type=pa.binary()),
        }
    )
    with (folder / thumbnails_file(split)).open("wb") as file:
        # PNGs are compressed already.
        pq.write_table(table, file, compression="none", use_dictionary=False, write_page_checksum=True)
        file.flush()
        os.fsync(file.fileno())


def read_thumbnails(folder: Path, split: str) -> dict[str, bytes]:
    """Return the PNG of each sample that has one, none if there is no file. Raises DataFailure for a damaged file."""
    path = folder / thumbnails_file(split)
    if not path.is_file():
        return {}
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if file.metadata.num_rows > MOST_THUMBNAILS:
                raise DataFailure(f"{path}: has {file.metadata.num_rows} thumbnails, more than are ever written")
            table = file.read(columns=["sample_id", "png"], use_threads=False)
            ids, pictures = table.column("sample_id").to_pylist(), table.column("png").to_pylist()
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise DataFailure(f"{path}: cannot be read as thumbnails: {' '.join(str(error).split())}") from error
    pairs = zip(ids, pictures, strict=True)
    return {sample: picture for sample, picture in pairs if isinstance(sample, str) and is_thumbnail(picture)}


def is_thumbnail(picture: object) -> bool:
    """Whether bytes begin as a PNG and are few: a browser is told that they are a PNG, and nothing else."""
    return isinstance(picture, bytes) and picture.startswith(PNG_SIGNATURE) and len(picture) <= MOST_BYTES
