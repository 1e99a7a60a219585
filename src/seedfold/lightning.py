"""A logger and a checkpoint callback for your own ``Trainer`` of Lightning; importing this imports no torch."""

from __future__ import annotations

from seedfold.trainers.learning.lightning_parts import Checkpoint, Logger

__all__ = ["Checkpoint", "Logger"]
