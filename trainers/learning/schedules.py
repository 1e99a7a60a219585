"""Learning-rate schedules, stepped once per epoch, in addition to those of `torch.optim.lr_scheduler`."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


def ramp_sustain_decay(
    epoch: int, *, start: float, max: float, min: float, ramp: int, sustain: int, decay: float
) -> float:
    """Return the learning rate of ``epoch`` (from 0).

    It rises linearly from ``start`` to ``max`` over ``ramp`` epochs, stays at ``max`` for ``sustain`` epochs, and is
    then (max - min) · decay^(epoch - ramp - sustain) + min.
    """
    if epoch < ramp:
        return (max - start) / ramp * epoch + start
    if epoch < ramp + sustain:
        return max
    power: float = decay ** (epoch - ramp - sustain)
    return (max - min) * power + min


class RampSustainDecay(LRScheduler):
    """`ramp_sustain_decay` for every parameter group; the optimizer's own learning rate is not used."""

    def __init__(
        self, optimizer: Optimizer, *, start: float, max: float, min: float, ramp: int, sustain: int, decay: float
    ) -> None:
        self._shape = {"start": start, "max": max, "min": min, "decay": decay}
        self._ramp, self._sustain = ramp, sustain
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:  # type: ignore[override]
        """Return the rate of the current epoch for each group."""
        rate = ramp_sustain_decay(self.last_epoch, ramp=self._ramp, sustain=self._sustain, **self._shape)
        return [rate for _ in self.optimizer.param_groups]
