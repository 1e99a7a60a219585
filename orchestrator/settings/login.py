"""``cluster.login``: the machine on which commands run.

It comes from ``--login``, ``cluster.login=…`` on the command line, SEEDFOLD_LOGIN, the site file, or an option of the
group ``cluster``; the first of them counts. ``here`` stands for this machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from seedfold.jobs.errors import UsageError, did_you_mean
from seedfold.orchestrator.settings.site import site_cluster

VARIABLE = "SEEDFOLD_LOGIN"
HERE = "here"
KEY = "cluster.login"
_OVERRIDE = re.compile(r"\+{0,2}cluster\.login(?=[=.])")
_HOST = re.compile(r"[^\s\x00-\x1f-][^\s\x00-\x1f]*")


@dataclass(frozen=True, slots=True)
class Login:
    """A host, as ssh takes it.

    ``command`` are the shell's words for seedfold there, ``root`` is the folder of studies there, ``setup`` lines of
    shell before the command.
    """

    host: str
    command: str = "seedfold"
    root: str | None = None
    setup: tuple[str, ...] = ()

    @classmethod
    def parse(cls, given: Any, origin: str = KEY) -> Login:
        """Read a host, or a mapping of the fields. Raises UsageError, naming the key, for whatever cannot be."""
        record: Mapping[Any, Any] = given if isinstance(given, Mapping) else {"host": given}
        known = [field.name for field in fields(cls)]
        for key in record:
            if key not in known:
                raise UsageError(
                    f"{origin}.{key}: unknown key{did_you_mean(str(key), known)}; known: {', '.join(known)}"
                )
        given_values = {key: value for key, value in record.items() if value is not None}
        setup = given_values.pop("setup", ())
        for key, value in given_values.items():
            if not isinstance(value, str) or not value:
                raise UsageError(f"{origin}.{key}: {value!r} is no text")
        if not _HOST.fullmatch(given_values.get("host", "")):
            raise UsageError(f"{origin}: {given_values.get('host')!r} names no host; write user@host")
        return cls(**given_values, setup=_lines(setup, origin))


def _lines(given: Any, origin: str) -> tuple[str, ...]:
    lines = [given] if isinstance(given, str) else given
    if not isinstance(lines, Sequence) or not all(isinstance(line, str) for line in lines):
        raise UsageError(f"{origin}.setup: expected a list of lines of shell")
    return tuple(lines)


def is_login(override: str) -> bool:
    """Whether an override sets ``cluster.login`` or one of its keys."""
    return _OVERRIDE.match(override) is not None


def find_login(option: str | None, overrides: Sequence[str] = ()) -> Login | None:
    """Return where a command is to run; None for this machine, as far as is known before the study is composed."""
    given = option or _from_overrides(overrides) or os.environ.get(VARIABLE)
    if given == HERE:
        os.environ[VARIABLE] = HERE
        return None
    own = site_cluster(overrides).get("login")
    known = None if own is None else Login.parse(own, f"site file: {KEY}")
    if given is None:
        return known
    asked = Login.parse(given, "--login" if option else KEY)
    # The host of the site file, named again, has its other settings.
    return known if known is not None and given == known.host else asked


def login_of_host(host: str) -> Login:
    """The settings for a host: those of the site file if it is that one."""
    own = site_cluster().get("login")
    known = None if own is None else Login.parse(own, f"site file: {KEY}")
    return known if known is not None and known.host == host else Login.parse(host, "host")


def _from_overrides(overrides: Sequence[str]) -> Any:
    chosen = [override for override in overrides if is_login(override)]
    if not chosen:
        return None
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    values: dict[str, Any] = {}
    for text in chosen:
        try:
            override = OverridesParser.create().parse_override(text)
            key, value = override.key_or_group, override.value()
        except (HydraException, ValueError) as error:
            raise UsageError(f"{text}: {str(error).splitlines()[0]}") from error
        if key == KEY:
            values = dict(value) if isinstance(value, Mapping) else {"host": value}
        else:
            values[key.removeprefix(f"{KEY}.")] = value
    return HERE if values == {"host": HERE} else values if set(values) - {"host"} else values["host"]


def stays_here() -> bool:
    """Whether this process was told to work on this machine, whatever is configured."""
    return os.environ.get(VARIABLE) == HERE


class ElsewhereError(UsageError):
    """A study whose configuration says that it is worked on elsewhere; nothing has been written."""

    def __init__(self, login: Login) -> None:
        super().__init__(
            f"{KEY} is {login.host}: commands run there, and notebooks read what seedfold fetch brings;"
            f" with {VARIABLE}={HERE} this machine does the work"
        )
        self.login = login


def refuse_elsewhere(cluster: Mapping[str, Any]) -> None:
    """Raise ElsewhereError if these settings name a login host and this process was not told to stay."""
    if cluster.get("login") is not None and not stays_here():
        raise ElsewhereError(Login.parse(cluster["login"]))
