"""Sample data of ``dark_side``: a folder for each seismic volume, with its amplitudes and, for training, its faults.

A volume is a stack of gently folded reflectors, displaced along one or two steep planes that end inside the volume, and
noise; amplitudes have a scale of their own. In volumes of one year, axes 0 and 1 of the amplitudes are swapped on disk,
and those of the mask are not. These are most of the volumes: read without the swap, slices show their faults elsewhere
than masks do, and a network finds nothing. The mask of one volume is empty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

REQUIRES = ()
SWAPPED_YEAR = 2024
_YEARS = (2021, 2024, 2024)
_EMPTY_NUMBER = 5
"""The number of the training volume with an empty mask."""
