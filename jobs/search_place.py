"""Where ``search`` stands in a study: at its top, or inside the matrix of a stage whose axes it goes over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from seedfold.jobs.commandline import CommandLine
from seedfold.jobs.compose import Composer
from seedfold.jobs.errors import UsageError
from seedfold.jobs.study_keys import SEARCH

_AXES_FROM = "axes_from"


def with_search_on_top(config: DictConfig) -> DictConfig:
    """Move the search to the top of the study. Inside the matrix of a stage, it is searched from this stage on."""
    for stage, matrix in _matrices(config):
        if not OmegaConf.is_dict(matrix.get(SEARCH)):
            continue
        if config.get(SEARCH) is not None:
            raise UsageError("matrix.search: the study has search at its top as well; remove one of them")
        with open_dict(config):
            config[SEARCH] = matrix.pop(SEARCH)
            if stage and config[SEARCH].get(_AXES_FROM) is None:
                config[SEARCH][_AXES_FROM] = stage
    return config


def search_where_it_stands(composer: Composer, command_line: CommandLine) -> CommandLine:
    """Return the command line with overrides of ``search`` that change it inside the matrix, if it stands there."""
    own = [one for one in command_line.study_overrides if _is_of_search(one)]
    if not own:
        return command_line
    others = [one for one in command_line.study_overrides if one not in own]
    config = composer.compose([str(one.input_line) for one in others], partial=True)
    places = [stage for stage, matrix in _matrices(config) if OmegaConf.is_dict(matrix.get(SEARCH))]
    if len(places) != 1 or config.get(SEARCH) is not None:
        return command_line
    place = f"stages.{places[0]}.matrix." if places[0] else "matrix."
    texts = [re.sub(r"^[~+]*", lambda signs: signs[0] + place, str(one.input_line), count=1) for one in own]
    return replace(command_line, study_overrides=(*others, *composer.parse_overrides(texts)))


def _matrices(config: DictConfig) -> Iterator[tuple[str, DictConfig]]:
    """Yield the matrix at the top, and that of each stage with the name of the stage."""
    stages = config.get("stages")
    for name, node in (("", config), *(stages.items() if OmegaConf.is_dict(stages) else ())):
        matrix = node.get("matrix") if OmegaConf.is_dict(node) else None
        if isinstance(matrix, DictConfig):
            yield str(name), matrix


def _is_of_search(override: Override) -> bool:
    return re.split(r"[./@]", override.key_or_group)[0] == SEARCH
