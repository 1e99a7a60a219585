"""Samples from a folder of images and a table of labels, one row an image. Needs Pillow (``seedfold[images]``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from seedfold.jobs.work import ConfigFailure, DataFailure
from seedfold.trainers.data.samples import Floats, Reads, Samples, check, existing
from seedfold.trainers.data.table import Column, class_targets, column, read_frame, row_ids

if TYPE_CHECKING:
    from PIL import Image

Mode = Literal["L", "RGB"]


@dataclass(frozen=True)
class ImageFolder:
    """Read images as (channels, height, width) with values in 0 … 1.

    ``path`` is the folder, ``labels_path`` the table; ``image`` is the column with the file name, to which ``suffix``
    is added. ``size`` is (height, width); an image of another size is resized with bilinear interpolation if
    ``resize``, else a DataFailure.
    """

    path: str
    labels_path: str
    image: Column
    target: Column
    classes: int
    size: Sequence[int]
    id: Column | None = None
    group: Column | None = None
    labels: Sequence[str] | None = None
    suffix: str = ""
    mode: Mode = "RGB"
    resize: bool = False

    def load(self, reads: Reads) -> Samples:
        """Read the table and every image it names; raises DataFailure naming the file and row."""
        folder, table = existing(self.path), existing(self.labels_path)
        reads(table)
        frame = read_frame(table)
        names = row_ids(frame, self.image, table)
        samples = Samples(
            ids=names if self.id is None else row_ids(frame, self.id, table),
            inputs=self._images(folder, names, table, reads),
            targets=class_targets(frame[column(frame, self.target, table)], self.labels, table),
            groups=None if self.group is None else frame[column(frame, self.group, table)].astype(str).to_numpy(),
        )
        return check(samples, str(table), self.classes)

    def _images(self, folder: Path, names: Sequence[str], table: Path, reads: Reads) -> Floats:
        channels = 1 if self.mode == "L" else 3
        images = np.empty((len(names), channels, *self.size), dtype=np.float32)
        for row, name in enumerate(names):
            file = folder / f"{name}{self.suffix}"
            if not file.is_file():
                raise DataFailure(f"{table}: row {row + 1} names {file}, which does not exist")
            reads(file)
            images[row] = self._pixels(file)
        return images

    def _pixels(self, file: Path) -> Floats:
        try:
            from PIL import Image
        except ImportError as error:
            raise ConfigFailure("task.source: reading images needs Pillow; pip install 'seedfold[images]'") from error
        try:
            with Image.open(file) as opened:
                pixels = np.asarray(self._sized(opened.convert(self.mode), file), dtype=np.float32) / np.float32(255)
        except OSError as error:
            raise DataFailure(f"{file}: cannot be read as an image: {error}") from error
        return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)

    def _sized(self, image: Image.Image, file: Path) -> Image.Image:
        height, width = self.size
        if image.size == (width, height):
            return image
        if not self.resize:
            found = f"{image.size[1]} by {image.size[0]}"
            raise DataFailure(f"{file}: is {found}, task.source.size is {height} by {width}; set resize: true")
        return image.resize((width, height), resample=2)  # bilinear
