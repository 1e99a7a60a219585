"""What a SLURM cluster offers: partitions and their limits, nodes, accounts; for `doctor`, and beside a refusal."""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.schedulers.findings import Finding
from seedfold.orchestrator.schedulers.slurm import queries

_NOISE = re.compile(r"(sbatch: )?(error: )?(allocation failure: )?")
_PARTITION = "%R|%l|%D|%c|%m|%G|%a"


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: its longest time as SLURM writes it, and what its largest node has, memory in MB."""

    name: str
    longest: str
    nodes: int
    cpus: int
    memory_mb: int
    gpus: str
    up: bool

    def text(self) -> str:
        """Say it in a line."""
        gpus = f", {self.gpus}" if self.gpus else ""
        memory = f"{self.memory_mb / 1024:.0f}GB"
        state = "" if self.up else " (down)"
        nodes = f"{self.nodes} nodes of up to {self.cpus} CPUs, {memory}{gpus}"
        return f"{self.name}{state} ({nodes}; at most {self.longest})"


def partitions(timeout_s: float) -> list[Partition]:
    """Return the partitions of the cluster. Raises UnreachableError."""
    found: dict[str, Partition] = {}
    for line in queries.ask(["sinfo", "-h", "-o", _PARTITION], timeout_s).splitlines():
        name, longest, nodes, cpus, memory, gpus, state = line.split("|")
        gpus = "" if gpus == "(null)" else gpus.split("(")[0]
        row = Partition(name, longest, int(nodes), _number(cpus), _number(memory), gpus, state == "up")
        found[name] = _larger(found[name], row) if name in found else row
    return list(found.values())


def _number(text: str) -> int:
    """The number in ``128+``, which SLURM writes where nodes differ."""
    return int(re.sub(r"\D.*", "", text) or 0)


def _larger(one: Partition, other: Partition) -> Partition:
    return Partition(
        name=one.name,
        longest=one.longest,
        nodes=one.nodes + other.nodes,
        cpus=max(one.cpus, other.cpus),
        memory_mb=max(one.memory_mb, other.memory_mb),
        gpus=", ".join(dict.fromkeys(filter(None, [one.gpus, other.gpus]))),
        up=one.up or other.up,
    )


def accounts(timeout_s: float) -> list[str]:
    """Return the accounts that the user may use, each with its QOS; empty where nothing keeps account."""
    command = ["sacctmgr", "-n", "-P", "show", "assoc", f"user={getpass.getuser()}", "format=account,qos"]
    try:
        lines = queries.ask(command, timeout_s).splitlines()
    except UnreachableError:
        return []
    rows = (line.partition("|") for line in lines if line.strip())
    return list(
        dict.fromkeys(f"{account} (QOS {qos.replace(',', ', ')})" if qos else account for account, _, qos in rows)
    )


def clean(said: str) -> str:
    """What SLURM said, without what it says around it and says twice."""
    parts = [_NOISE.sub("", part).strip() for part in re.split(r"(?=sbatch: error: )|(?=allocation failure: )", said)]
    return "; ".join(dict.fromkeys(filter(None, parts)))


def of_use(said: str, timeout_s: float) -> str:
    """What helps a person whom SLURM refused: names that it knows, or how large its nodes are."""
    try:
        if "account" in said.lower() or "qos" in said.lower():
            return _listed("yours are", accounts(timeout_s))
        if "partition name" in said.lower():
            return _listed("partitions are", (one.name for one in partitions(timeout_s)))
        return _listed("there is", (one.text() for one in partitions(timeout_s)))
    except (UnreachableError, ValueError):
        return "see sinfo"


def _listed(what: str, names: Iterable[str]) -> str:
    return f"{what} {', '.join(names) or 'unknown; ask the site'}"


def findings(timeout_s: float) -> Iterator[Finding]:
    """Say what the cluster offers: partitions, limits, accounting."""
    for partition in partitions(timeout_s):
        yield Finding("ok" if partition.up else "warning", "partition", partition.text())
    limits = {name: queries.setting(name, timeout_s) for name in ("MaxArraySize", "MaxJobCount")}
    yield Finding("ok", "limits", ", ".join(f"{name} {value}" for name, value in limits.items()))
    storage = queries.setting("AccountingStorageType", timeout_s) or "none"
    if storage.endswith("none"):
        text = "none: how a job ended is known for minutes only, from the queue and from what it said itself"
        yield Finding("ok", "accounting", text)
    else:
        yield Finding("ok", "accounting", f"accounts: {', '.join(accounts(timeout_s)) or 'none of yours'}")
