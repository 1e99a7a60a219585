"""The MariaDB behind slurmdbd: reached through a socket only, by the user that started it, without a password."""

from __future__ import annotations

import getpass
import shutil
import subprocess
from pathlib import Path

from clusters.slurm.configuration import database_socket
from clusters.slurm.packages import PATH
from clusters.slurm.processes import ClusterError

SYSTEM_TABLES = Path("/usr/share/mysql")
# It may lose its last second when the machine stops, and starts quickly.
FORGETFUL = (
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--innodb-use-native-aio=0",
    "--innodb-log-file-size=32M",
)
SMALL = ("--skip-networking", "--skip-log-bin", "--performance-schema=OFF", "--innodb-buffer-pool-size=128M")
WANTED_BY_SLURMDBD = ("--innodb-lock-wait-timeout=900", "--max-allowed-packet=16M")


def database_command(folder: Path) -> list[str]:
    """The command that serves the database of a cluster's folder."""
    files = (
        f"--socket={database_socket(folder)}",
        f"--pid-file={folder}/db/pid",
        f"--log-error={folder}/log/mariadbd.log",
    )
    return [*_mariadbd(folder), *files, *SMALL, *WANTED_BY_SLURMDBD]


def make_database(folder: Path) -> None:
    """Write the system's tables, once.

    What does this in Debian, mariadb-install-db, needs packages that are not needed otherwise.
    """
    complete = folder / "db" / "complete"
    if complete.exists():
        return
    shutil.rmtree(_data(folder), ignore_errors=True)
    _data(folder).mkdir()
    ended = subprocess.run(
        [*_mariadbd(folder), "--bootstrap", "--silent-startup", "--enforce-storage-engine=", *WANTED_BY_SLURMDBD],
        input=_system_tables(),
        env={"PATH": PATH},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise ClusterError(f"the database cannot be made in {_data(folder)}:\n{ended.stderr}")
    complete.touch()


def _system_tables() -> str:
    names = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")
    start = f"CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket='{getpass.getuser()}';\n"
    return start + "".join((SYSTEM_TABLES / name).read_text() for name in names)


def _mariadbd(folder: Path) -> list[str]:
    # In a folder for temporary files that they share, two clusters that come up at once take each other's away.
    places = (f"--datadir={_data(folder)}", f"--tmpdir={folder}/db")
    return ["mariadbd", "--no-defaults", f"--user={getpass.getuser()}", *places, *FORGETFUL]


def _data(folder: Path) -> Path:
    return folder / "db" / "data"
