"""Capabilities of a SLURM cluster: partitions with their limits, nodes, accounts. `doctor` and refusals print them."""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from seedfold.jobs.errors import UnreachableError
from seedfold.orchestrator.schedulers.answer_numbers import WHOLE, is_whole
from seedfold.orchestrator.schedulers.findings import Finding
from seedfold.orchestrator.schedulers.slurm import queries

_REPEATED_TEXT = re.compile(r"(sbatch: )?(error: )?(allocation failure: )?")
_SINFO_FIELDS = "%R|%l|%D|%c|%m|%G|%a"


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: its longest time as SLURM writes it, and the CPUs, memory (MB) and GPUs of its largest node."""

    name: str
    time_limit: str
    nodes: int
    cpus: int
    memory_mb: int
    gpus: str
    is_up: bool

    def text(self) -> str:
        """Return it as one line of text."""
        gpus = f", {self.gpus}" if self.gpus else ""
        memory = f"{self.memory_mb / 1024:.0f}GB"
        state = "" if self.is_up else " (down)"
        nodes = f"{self.nodes} nodes of up to {self.cpus} CPUs, {memory}{gpus}"
        return f"{self.name}{state} ({nodes}; at most {self.time_limit})"


def find_partitions(timeout_s: float) -> list[Partition]:
    """Return the partitions of the cluster. Raises UnreachableError."""
    by_name: dict[str, Partition] = {}
    for line in queries.output_of(["sinfo", "-h", "-o", _SINFO_FIELDS], timeout_s).splitlines():
        fields = line.split("|")
        if len(fields) != _SINFO_FIELDS.count("|") + 1 or not is_whole(fields[2]):
            raise UnreachableError(f"sinfo printed {line!r:.200}, which Seedfold cannot read")
        name, longest, nodes, cpus, memory, gpus, state = fields
        gpus = "" if gpus == "(null)" else gpus.split("(")[0]
        row = Partition(name, longest, int(nodes), _leading_number(cpus), _leading_number(memory), gpus, state == "up")
        by_name[name] = _merge_partitions(by_name[name], row) if name in by_name else row
    return list(by_name.values())


def _leading_number(text: str) -> int:
    """The number in ``128+``, which SLURM writes if nodes differ."""
    found = re.match(WHOLE, text)
    return int(found[0]) if found else 0


def _merge_partitions(first: Partition, second: Partition) -> Partition:
    return Partition(
        name=first.name,
        time_limit=first.time_limit,
        nodes=first.nodes + second.nodes,
        cpus=max(first.cpus, second.cpus),
        memory_mb=max(first.memory_mb, second.memory_mb),
        gpus=", ".join(dict.fromkeys(filter(None, [first.gpus, second.gpus]))),
        is_up=first.is_up or second.is_up,
    )


def find_accounts(timeout_s: float) -> list[str]:
    """Return the accounts that the user may use, each with its QOS; empty if there is no accounting."""
    command = ["sacctmgr", "-n", "-P", "show", "assoc", f"user={getpass.getuser()}", "format=account,qos"]
    try:
        lines = queries.output_of(command, timeout_s).splitlines()
    except UnreachableError:
        return []
    rows = (line.partition("|") for line in lines if line.strip())
    return list(
        dict.fromkeys(f"{account} (QOS {qos.replace(',', ', ')})" if qos else account for account, _, qos in rows)
    )


def clean_message(message: str) -> str:
    """A message of SLURM, without prefixes and repetitions."""
    parts = [
        _REPEATED_TEXT.sub("", part).strip()
        for part in re.split(r"(?=sbatch: error: )|(?=allocation failure: )", message)
    ]
    return "; ".join(dict.fromkeys(filter(None, parts)))


def advice_on_refusal(message: str, timeout_s: float) -> str:
    """Advice after a refusal: the names that SLURM knows, or the size of its nodes."""
    try:
        if "account" in message.lower() or "qos" in message.lower():
            return _list_text("yours are", find_accounts(timeout_s))
        if "partition name" in message.lower():
            return _list_text("partitions are", (one.name for one in find_partitions(timeout_s)))
        return _list_text("there is", (one.text() for one in find_partitions(timeout_s)))
    except (UnreachableError, ValueError):
        return "see sinfo"


def _list_text(title: str, names: Iterable[str]) -> str:
    return f"{title} {', '.join(names) or 'unknown; ask the site'}"


def findings(timeout_s: float) -> Iterator[Finding]:
    """Return what the cluster offers: partitions, limits, accounting."""
    for partition in find_partitions(timeout_s):
        yield Finding("ok" if partition.is_up else "warning", "partition", partition.text())
    limits = {name: queries.config_value(name, timeout_s) for name in ("MaxArraySize", "MaxJobCount")}
    yield Finding("ok", "limits", ", ".join(f"{name} {value}" for name, value in limits.items()))
    storage = queries.config_value("AccountingStorageType", timeout_s) or "none"
    if storage.endswith("none"):
        text = "none: how a job ended is known for a few minutes only, from the queue and from the job's own records"
        yield Finding("ok", "accounting", text)
    else:
        yield Finding("ok", "accounting", f"accounts: {', '.join(find_accounts(timeout_s)) or 'you have none'}")
