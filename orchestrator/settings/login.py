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
from seedfold.orchestrator.settings.site import site_cluster_keys

LOGIN_VARIABLE = "SEEDFOLD_LOGIN"
THIS_MACHINE = "here"
LOGIN_KEY = "cluster.login"
_LOGIN_OVERRIDE = re.compile(r"\+{0,2}cluster\.login(?=[=.])")
_HOST_PATTERN = re.compile(r"[^\s\x00-\x1f-][^\s\x00-\x1f]*")


@dataclass(frozen=True, slots=True)
class LoginHost:
    """A host, as ssh takes it.

    ``command`` is what the shell there runs as seedfold, ``root`` the folder of studies there, and ``setup`` the lines
    of shell that run before the command.
    """

    host: str
    command: str = "seedfold"
    root: str | None = None
    setup: tuple[str, ...] = ()

    @classmethod
    def parse(cls, configured: Any, origin: str = LOGIN_KEY) -> LoginHost:
        """Read a host, or a mapping of the fields.

        Raises UsageError, which names the key, for a value that is not valid.
        """
        record: Mapping[Any, Any] = configured if isinstance(configured, Mapping) else {"host": configured}
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
                raise UsageError(f"{origin}.{key}: {value!r} is not a string")
        if not _HOST_PATTERN.fullmatch(given_values.get("host", "")):
            raise UsageError(f"{origin}: {given_values.get('host')!r} is not the name of a host; write user@host")
        return cls(**given_values, setup=_parse_setup_lines(setup, origin))


def _parse_setup_lines(value: Any, origin: str) -> tuple[str, ...]:
    lines = [value] if isinstance(value, str) else value
    if not isinstance(lines, Sequence) or not all(isinstance(line, str) for line in lines):
        raise UsageError(f"{origin}.setup: expected a list of lines of shell")
    return tuple(lines)


def is_login_override(override: str) -> bool:
    """Whether an override sets ``cluster.login`` or one of its keys."""
    return _LOGIN_OVERRIDE.match(override) is not None


def find_login_host(option: str | None, overrides: Sequence[str] = ()) -> LoginHost | None:
    """Return the login host on which a command has to run; None for this machine. The study is not composed yet."""
    chosen = option or _login_from_overrides(overrides) or os.environ.get(LOGIN_VARIABLE)
    if chosen == THIS_MACHINE:
        os.environ[LOGIN_VARIABLE] = THIS_MACHINE
        return None
    site_value = site_cluster_keys(overrides).get("login")
    site_login = None if site_value is None else LoginHost.parse(site_value, f"site file: {LOGIN_KEY}")
    if chosen is None:
        return site_login
    requested = LoginHost.parse(chosen, "--login" if option else LOGIN_KEY)
    # If it is the host of the site file, the other settings of the site file apply too.
    return site_login if site_login is not None and chosen == site_login.host else requested


def get_login_host(host: str) -> LoginHost:
    """The settings for a host: those of the site file if it is that one."""
    site_value = site_cluster_keys().get("login")
    site_login = None if site_value is None else LoginHost.parse(site_value, f"site file: {LOGIN_KEY}")
    return site_login if site_login is not None and site_login.host == host else LoginHost.parse(host, "host")


def _login_from_overrides(overrides: Sequence[str]) -> Any:
    chosen = [override for override in overrides if is_login_override(override)]
    if not chosen:
        return None
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from seedfold.jobs.compose import one_line_errors

    values: dict[str, Any] = {}
    for text in chosen:
        with one_line_errors():
            [override] = OverridesParser.create().parse_overrides([text])
        if override.is_sweep_override():
            raise UsageError(f"{text}: commands run on one host only; name one")
        key, value = override.key_or_group, override.value()
        if key == LOGIN_KEY:
            values = dict(value) if isinstance(value, Mapping) else {"host": value}
        else:
            values[key.removeprefix(f"{LOGIN_KEY}.")] = value
    return THIS_MACHINE if values == {"host": THIS_MACHINE} else values if set(values) - {"host"} else values["host"]


def must_run_locally() -> bool:
    """Whether this process has to work on this machine, whatever is configured."""
    return os.environ.get(LOGIN_VARIABLE) == THIS_MACHINE


class RemoteStudyError(UsageError):
    """The configuration of a study names a login host, and this process is not there; nothing has been written."""

    def __init__(self, login_host: LoginHost) -> None:
        super().__init__(
            f"{LOGIN_KEY} is {login_host.host}: commands run on that host, and notebooks here read the copies that"
            f" seedfold fetch makes; with {LOGIN_VARIABLE}={THIS_MACHINE} this machine does the work"
        )
        self.login_host = login_host


def refuse_remote_study(cluster: Mapping[str, Any]) -> None:
    """Raise RemoteStudyError if these settings name a login host, unless this process has to work on this machine."""
    if cluster.get("login") is not None and not must_run_locally():
        raise RemoteStudyError(LoginHost.parse(cluster["login"]))
