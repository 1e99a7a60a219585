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


def last_of_each_key(overrides: Iterable[Override]) -> tuple[Override, ...]:
    """Return the last override of each key, in the place of the first one, as Hydra's sweeper does.

    A key with another prefix, such as ``++``, is another one.
    """
    return tuple({override.get_key_element(): override for override in overrides}.values())


def is_set_again(composer: Composer, override: Override, later: Override) -> bool:
    """Whether a later override sets the same key, and no group, with another prefix."""
    key = override.key_or_group
    return key == later.key_or_group and not later.is_delete() and not composer.is_group(key)


def refuse_useless_sweep(composer: Composer, overrides: Sequence[Override]) -> None:
    """Raise UsageError for a key that is swept and then deleted or set again: all its points would be equal."""
    for place, override in enumerate(overrides):
        for later in overrides[place + 1 :] if override.is_sweep_override() else ():
            is_deleted = later.is_delete() and change_same_value(composer, override, later)
            if is_deleted or is_set_again(composer, override, later):
                raise UsageError(
                    f"{later.input_line}: {'deletes' if is_deleted else 'replaces'} what {override.input_line} sweeps"
                    " before it; write it before the sweep, or leave one of them out"
                )


def key_order(overrides: Iterable[Override]) -> tuple[str, ...]:
    """Return the keys of overrides, with what is written before them, in the order in which Hydra names them."""
    return tuple(dict.fromkeys(override.get_key_element() for override in overrides))
