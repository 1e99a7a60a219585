"""The loaders of a LightningModule: a data module, loaders that a function returned, or those of the module itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seedfold.jobs.work import ConfigFailure
from seedfold.trainers.setup.object_builder import build

_STAGES = ("train", "val", "test", "predict")
_EVALUATED = ("val", "test")
PREDICT_SPLIT = "predict"


@dataclass(frozen=True)
class LightningData:
    """``module`` is a LightningDataModule, or None; then ``loaders`` are by stage, and may all be the model's own."""

    module: Any = None
    loaders: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def build(cls, node: Mapping[str, Any] | None) -> LightningData:
        """Build ``data``. Raises ConfigFailure for what is neither a data module nor loaders."""
        if node is None:
            return cls()
        found = build(node, "data")
        if hasattr(found, "train_dataloader"):
            return cls(module=found)
        if isinstance(found, Mapping) and found and set(found) <= set(_STAGES):
            return cls(loaders=found)
        if isinstance(found, Sequence) and 1 <= len(found) <= len(_STAGES):
            return cls(loaders=dict(zip(_STAGES, found, strict=False)))
        raise ConfigFailure(
            f"data: {type(found).__name__} is neither a LightningDataModule nor loaders; a function returns"
            " {train: …, val: …, test: …, predict: …}, of which some may be left out"
        )

    def for_fit(self) -> dict[str, Any]:
        """What ``Trainer.fit`` takes."""
        if self.module is not None:
            return {"datamodule": self.module}
        return {"train_dataloaders": self.loaders.get("train"), "val_dataloaders": self.loaders.get("val")}

    def for_test(self) -> dict[str, Any]:
        """What ``Trainer.test`` takes."""
        return {"datamodule": self.module} if self.module is not None else {"dataloaders": self.loaders.get("test")}

    def has_test(self, model: Any) -> bool:
        """Whether there is something to test, and a ``test_step`` to do it."""
        return _is_own(model, "test_step") and self._has_loader(model, "test")

    def loaders_to_predict(self, model: Any, splits: Sequence[str]) -> dict[str, Any]:
        """Return the loaders for ``predict_step`` by split; none where the model has no such function of its own.

        They are those of ``predict_dataloader``, by name if it returns several by name; without it, those for
        validation and test. Raises ConfigFailure for one of ``splits`` that has no loader.
        """
        if not _is_own(model, "predict_step"):
            return {}
        if self._has_loader(model, "predict"):
            loader = self._loader(model, "predict")
            return dict(loader) if isinstance(loader, Mapping) else {PREDICT_SPLIT: loader}
        missing = [split for split in splits if split not in _EVALUATED]
        if missing:
            raise ConfigFailure(f"predict.splits: {missing[0]!r} has no loader; there may be {', '.join(_EVALUATED)}")
        wanted = splits or _EVALUATED
        return {split: self._loader(model, split) for split in wanted if self._has_loader(model, split)}

    def _has_loader(self, model: Any, stage: str) -> bool:
        if self.module is not None:
            return _is_own(self.module, f"{stage}_dataloader")
        return self.loaders.get(stage) is not None or _is_own(model, f"{stage}_dataloader")

    def _loader(self, model: Any, stage: str) -> Any:
        if self.module is not None:
            self.module.setup({"val": "validate"}.get(stage, stage))
            return getattr(self.module, f"{stage}_dataloader")()
        loader = self.loaders.get(stage)
        return loader if loader is not None else getattr(model, f"{stage}_dataloader")()


def _is_own(thing: Any, name: str) -> bool:
    """Whether a class of the author's, and not one of Lightning's, defines the function."""
    for kind in type(thing).__mro__:
        if name in vars(kind):
            return kind.__module__.partition(".")[0] not in {"pytorch_lightning", "lightning"}
    return False
