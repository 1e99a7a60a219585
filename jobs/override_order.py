"""The order of a command line's overrides, where it matters: Hydra applies them one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hydra.core.override_parser.types import Override
from omegaconf._utils import split_key

from seedfold.jobs.axis_effects import do_overlap
from seedfold.jobs.compose import Composer
from seedfold.jobs.errors import UsageError


def change_same_value(composer: Composer, left: Override, right: Override) -> bool:
    """Whether two overrides change the same value, so that their order matters; Hydra chooses groups in any order."""
    if composer.is_group(left.key_or_group) or composer.is_group(right.key_or_group):
        return False
    return do_overlap(tuple(split_key(left.key_or_group)), tuple(split_key(right.key_or_group)))


def refuse_sweep_before_deletion(composer: Composer, overrides: Sequence[Override]) -> None:
    """Raise UsageError for a key that is swept and then deleted: all its points would be equal."""
    for place, override in enumerate(overrides):
        for later in overrides[place + 1 :]:
            if override.is_sweep_override() and later.is_delete() and change_same_value(composer, override, later):
                raise UsageError(
                    f"{later.input_line}: deletes what {override.input_line} sweeps before it; write it before the"
                    " sweep, or leave one of them out"
                )


def key_order(overrides: Iterable[Override]) -> tuple[str, ...]:
    """Return the keys of overrides, with what is written before them, in the order in which Hydra names them."""
    return tuple(dict.fromkeys(override.get_key_element() for override in overrides))
