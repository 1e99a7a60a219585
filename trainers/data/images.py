"""Samples from a folder of images and a table of labels, one row per image. Needs Pillow (``seedfold[images]``)."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.data.decoded_copies import files_identity
from seedfold.trainers.data.file_inputs import FileInputs
from seedfold.trainers.data.samples import (
    UNKNOWN,
    Floats,
    Indices,
    Labels,
    Reads,
    Samples,
    check_ids,
    check_labels,
    check_samples,
    require_data_path,
)
from seedfold.trainers.data.table import Column, find_column, read_folds, read_frame, read_ids, to_class_numbers

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

Mode = Literal["L", "RGB"]
Pixels = NDArray[np.uint8]
_BILINEAR = 2
"""Pillow's number of bilinear interpolation."""


@dataclass(frozen=True)
class LabelTable:
    """A table of n images: ``ids``, ``files`` (relative to ``folder``), ``targets``, ``groups`` and ``folds`` (n,)."""

    folder: Path
    ids: tuple[str, ...]
    files: tuple[str, ...]
    targets: Indices
    groups: Labels | None = None
    folds: Indices | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class ImageFolder:
    """Read images as (channels, height, width) with values in 0 … 1.

    ``path`` is the folder, ``labels_path`` the table; ``image`` is the column with the file name, to which ``suffix``
    is added; ``fold`` is the column for ``task.folds.kind: given``. Without ``target`` classes are unknown, as in a
    test set. ``size`` is (height, width); an image of another size is resized with bilinear interpolation if
    ``resize``, else it is a DataFailure. Before that, an image is resized to ``smallest_side`` pixels on its smaller
    side, keeping its proportions, and mirrored at its edges until it has ``pad_to`` (height, width), where these are
    given. With ``in_memory`` all images are read at once, else when a batch needs them, by ``num_workers`` threads.
    """

    path: str
    labels_path: str
    image: Column
    target: Column | None
    classes: int
    size: Sequence[int]
    id: Column | None = None
    group: Column | None = None
    labels: Sequence[str] | None = None
    suffix: str = ""
    mode: Mode = "RGB"
    resize: bool = False
    smallest_side: int | None = None
    pad_to: Sequence[int] | None = None
    in_memory: bool = True
    num_workers: int = 1
    fold: Column | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return channels, height and width of every image that is read."""
        return self.decoder.shape

    @property
    def decoder(self) -> ImageDecoder:
        """Return the decoder, which turns the bytes of a file into pixels."""
        height, width = self.size
        least = None if self.pad_to is None else (int(self.pad_to[0]), int(self.pad_to[1]))
        return ImageDecoder((int(height), int(width)), self.mode, self.resize, self.smallest_side, least)

    def read_table(self, reads: Reads) -> LabelTable:
        """Read only the table; raises DataFailure naming the row of a repeated id or an unknown label."""
        folder, path = require_data_path(self.path), require_data_path(self.labels_path)
        reads(path)
        frame = read_frame(path, text=[self.image] if self.id is None else [self.image, self.id])
        names = read_ids(frame, self.image, path)
        table = LabelTable(
            folder=folder,
            ids=names if self.id is None else read_ids(frame, self.id, path),
            files=tuple(f"{name}{self.suffix}" for name in names),
            targets=self._read_targets(frame, path),
            groups=None if self.group is None else frame[find_column(frame, self.group, path)].astype(str).to_numpy(),
            folds=read_folds(frame, self.fold, path),
        )
        if self.target is None:
            check_ids(table.ids, str(path))
        else:
            check_labels(table.ids, table.targets, str(path), self.classes)
        return table

    def _read_targets(self, frame: pd.DataFrame, path: Path) -> Indices:
        if self.target is None:
            return np.full(len(frame), UNKNOWN, dtype=np.int64)
        return to_class_numbers(frame[find_column(frame, self.target, path)], self.labels, path)

    def file_size(self, table: LabelTable, row: int) -> int:
        """Return the size of the file of a row (from 0), in bytes; raises DataFailure if it is missing."""
        file = table.folder / table.files[row]
        try:
            return file.stat().st_size
        except OSError as error:
            raise self._missing_file_error(row, file) from error

    def _missing_file_error(self, row: int, file: Path) -> DataFailure:
        return DataFailure(f"{require_data_path(self.labels_path)}: row {row + 1} names {file}, which does not exist")

    def load(self, reads: Reads) -> Samples:
        """Read the table and every image it names; raises DataFailure naming the file and row."""
        table = self.read_table(reads)
        inputs = self._read_images(table, reads) if self.in_memory else self._make_file_inputs(table)
        samples = Samples(table.ids, inputs, table.targets, table.groups, shards=table.folds)
        return check_samples(samples, self.labels_path, self.classes, labelled=self.target is not None)

    def _make_file_inputs(self, table: LabelTable) -> FileInputs:
        for row in range(len(table)):
            self.file_size(table, row)

        def read_row(row: int, into: NDArray[Any]) -> None:
            file = table.folder / table.files[row]
            try:
                content = file.read_bytes()
            except OSError as error:
                raise self._missing_file_error(row, file) from error
            into[:] = self.decode(file, content)

        def identity() -> str:
            return files_identity([table.folder / name for name in table.files], self.decoder)

        rows = np.arange(len(table), dtype=np.int64)
        return FileInputs(read_row, self.shape, np.uint8, rows, self.num_workers, identity)

    def _read_images(self, table: LabelTable, reads: Reads) -> Floats:
        images = np.empty((len(table), *self.shape), dtype=np.float32)
        for row, name in enumerate(table.files):
            file = table.folder / name
            if not file.is_file():
                raise self._missing_file_error(row, file)
            reads(file)
            images[row] = self.decode(file, file.read_bytes()).astype(np.float32) / np.float32(255)
        return images

    def decode(self, file: Path, content: bytes) -> Pixels:
        """Decode the content of an image file; see `ImageDecoder.decode`."""
        return self.decoder.decode(str(file), content)


@dataclass(frozen=True)
class ImageDecoder:
    """Decodes PNG, JPEG and other formats of Pillow into pixels of ``size`` (height, width) and ``mode``.

    An image of another size is resized with bilinear interpolation if ``resize``; ``smallest_side`` and ``pad_to`` as
    in `ImageFolder`.
    """

    size: tuple[int, int]
    mode: Mode = "RGB"
    resize: bool = False
    smallest_side: int | None = None
    pad_to: tuple[int, int] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return channels, height and width of every image."""
        return (1 if self.mode == "L" else 3, *self.size)

    def decode(self, source: str, content: bytes) -> Pixels:
        """Decode the bytes of an image to (channels, height, width); raises DataFailure that begins with ``source``.

        Of grey images with 16 bits, the upper eight bits are kept. Raises ConfigFailure without Pillow.
        """
        try:
            from PIL import Image
        except ImportError as error:
            raise ConfigFailure("task.source: reading images needs Pillow; pip install 'seedfold[images]'") from error
        try:
            with Image.open(io.BytesIO(content)) as opened:
                decoded = np.asarray(self._to_size(_to_eight_bits(opened, source).convert(self.mode), source))
        except (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError) as error:
            raise DataFailure(f"{source}: cannot be read as an image: {error}") from error
        return decoded[None] if decoded.ndim == 2 else np.ascontiguousarray(np.moveaxis(decoded, -1, 0))

    def _to_size(self, image: Image.Image, source: str) -> Image.Image:
        height, width = self.size
        image = self._pad(self._scale(image))
        if image.size == (width, height):
            return image
        if not self.resize:
            found = f"{image.size[1]} by {image.size[0]}"
            raise DataFailure(f"{source}: is {found}, but task.source.size is {height} by {width}; set resize: true")
        return image.resize((width, height), resample=_BILINEAR)

    def _scale(self, image: Image.Image) -> Image.Image:
        """Resize to ``smallest_side``, with the proportions of the image."""
        smallest = min(image.size)
        if self.smallest_side is None or smallest == self.smallest_side:
            return image
        width, height = (max(1, round(side * self.smallest_side / smallest)) for side in image.size)
        return image.resize((width, height), resample=_BILINEAR)

    def _pad(self, image: Image.Image) -> Image.Image:
        """Mirror an image at its edges where it is smaller than ``pad_to``; an odd pixel goes right or below."""
        if self.pad_to is None:
            return image
        from PIL import Image as Images

        missing = [max(0, least - side) for least, side in zip(self.pad_to, reversed(image.size), strict=True)]
        pixels = np.asarray(image)
        widths = [(lack // 2, lack - lack // 2) for lack in missing] + [(0, 0)] * (pixels.ndim - 2)
        return Images.fromarray(np.pad(pixels, widths, mode="reflect")) if any(missing) else image


def _to_eight_bits(image: Image.Image, source: str) -> Image.Image:
    """Scale 16 bits to 8; Pillow's own conversion would cut values off at 255."""
    if image.mode in ("I", "F"):
        raise DataFailure(f"{source}: has 32 bits a pixel; convert it to 8 or 16")
    if not image.mode.startswith("I;16"):
        return image
    from PIL import Image as Images

    return Images.fromarray((np.asarray(image) >> 8).astype(np.uint8))
