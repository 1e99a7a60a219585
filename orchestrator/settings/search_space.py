"""The dimensions of a search: what values a searched key may take.

A dimension is given in Hydra's grammar of sweeps (a list, ``choice(a,b)``, ``range(1,9)``, ``interval(0,1)``,
``int(interval(1,8))``, ``tag(log,interval(1e-5,1e-1))``) or as a distribution (``{log_uniform: [1e-5, 1e-1]}``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from seedfold.jobs.conditions import Where

Kind = Literal["float", "int", "choice"]


@dataclass(frozen=True, slots=True)
class Dimension:
    """A searched key and its values: numbers from ``low`` to ``high``, both included, or one of ``choices``.

    ``step`` is the distance of two neighbouring values, None for any number. ``log`` draws the logarithm evenly.
    ``prefix`` is ``+`` where the key is added to the configuration. ``only`` are conditions on dimensions before this
    one: where they do not hold, a trial does not have the key.
    """

    key: str
    kind: Kind
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()
    prefix: str = ""
    only: Where | None = None
