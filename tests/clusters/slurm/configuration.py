"""What the daemons of a cluster read: pure functions from settings to the text of each file.

The cluster has no systemd, no cgroups, and no hardware but this machine: nodes are processes that claim processors,
memory and GPUs that need not exist. Everything listens on one address, that of the machine's own name.
"""

from __future__ import annotations

import getpass
import socket
from dataclasses import dataclass
from pathlib import Path

CLUSTER = "toy"
ACCOUNT = "research"
QOS_WITH_FEW = "few"
FEW = 12  # jobs of a user that it takes
PORTS = 64  # ports that a cluster keeps for itself, from its first on
SLURMDBD, SLURMCTLD, FIRST_NODE = 0, 1, 2  # offsets


@dataclass(frozen=True)
class Settings:
    """How large the cluster claims to be, and where it listens."""

    nodes: int = 4
    cpus: int = 4  # of each node
    gpus: int = 4  # of each node
    memory_mb: int = 64_000  # of each node
    max_array_size: int = 1001  # SLURM's own default: the largest index of an array is one less
    port: int = 17700

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= PORTS - FIRST_NODE:
            raise ValueError(f"a cluster has 1 to {PORTS - FIRST_NODE} nodes, not {self.nodes}")
        if min(self.cpus, self.memory_mb, self.max_array_size, self.port) < 1 or self.gpus < 0:
            raise ValueError(f"a cluster has no negative sizes: {self}")

    @property
    def node_names(self) -> list[str]:
        """``n1``, ``n2``, …"""
        return [f"n{number}" for number in range(1, self.nodes + 1)]


def address() -> str:
    """The one address that SLURM's daemons can be told to listen on: what the machine's own name resolves to."""
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return "127.0.0.1"


def slurm_conf(folder: Path, settings: Settings) -> str:
    """``slurm.conf``: read by every daemon and every command."""
    parts = (_daemons, _nodes_are_processes, _scheduling, _accounting, _nodes, _partitions)
    return "\n".join(part(folder, settings).strip() for part in parts) + "\n"


def slurmdbd_conf(folder: Path, settings: Settings) -> str:
    """``slurmdbd.conf``. The database is reached through the socket that MYSQL_UNIX_PORT names, hence no password."""
    return f"""\
AuthType=auth/munge
AuthInfo=socket={munge_socket(folder)}
CommunicationParameters=NoInAddrAny
DbdHost=localhost
DbdAddr={address()}
DbdPort={settings.port + SLURMDBD}
SlurmUser={getpass.getuser()}
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser={getpass.getuser()}
StorageLoc=slurm_accounting
PidFile={folder}/run/slurmdbd.self
LogFile={folder}/log/slurmdbd.log
"""


def gres_conf(folder: Path, settings: Settings) -> str:
    """``gres.conf``. SLURM 22.05 wants a device for each GPU, or it holds the node to be invalid."""
    if not settings.gpus:
        return "AutoDetect=off\n"
    return f"""\
AutoDetect=off
NodeName=n[1-{settings.nodes}] Name=gpu File={folder}/dev/nvidia[0-{settings.gpus - 1}]
"""


def munge_socket(folder: Path) -> Path:
    """Where munge answers."""
    return folder / "run" / "munge.socket"


def database_socket(folder: Path) -> Path:
    """Where the database answers."""
    return folder / "run" / "mariadbd.socket"


def _daemons(folder: Path, settings: Settings) -> str:
    return f"""
ClusterName={CLUSTER}
SlurmctldHost=localhost({address()})
SlurmctldPort={settings.port + SLURMCTLD}
SlurmUser={getpass.getuser()}
SlurmdUser={getpass.getuser()}
AuthType=auth/munge
# A requeued job is held back for as long as credentials are good: 5 s is the least that SLURM takes.
AuthInfo=socket={munge_socket(folder)},cred_expire=5
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.self
SlurmdPidFile={folder}/run/slurmd-%n.self
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
MailProg=/bin/true
"""


def _nodes_are_processes(folder: Path, settings: Settings) -> str:
    return """
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
# Believe what is claimed below, whatever the machine has.
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=2
SlurmctldTimeout=120
SlurmdTimeout=120
MessageTimeout=30
"""


def _scheduling(folder: Path, settings: Settings) -> str:
    return f"""
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0,default_queue_depth=1000,bf_interval=2,bf_continue
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
EnforcePartLimits=ALL
MaxArraySize={settings.max_array_size}
MaxJobCount=20000
MinJobAge=300
JobRequeue=1
PriorityType=priority/multifactor
PriorityWeightPartition=1000
PriorityWeightQOS=1000
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
# Without it a job that is preempted hears SIGTERM only, not the signal that it asked for.
SlurmctldParameters=preempt_send_user_signal
"""


def _accounting(folder: Path, settings: Settings) -> str:
    return f"""
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={address()}
AccountingStoragePort={settings.port + SLURMDBD}
AccountingStoragePass={munge_socket(folder)}
# Without it unknown accounts and QOS are taken silently.
AccountingStorageEnforce=associations,limits,qos
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
JobCompType=jobcomp/none
"""


def _nodes(folder: Path, settings: Settings) -> str:
    first = settings.port + FIRST_NODE
    names = f"NodeName=n[1-{settings.nodes}] NodeHostname=localhost NodeAddr={address()}"
    ports = f"Port=[{first}-{first + settings.nodes - 1}]"
    cores = f"CPUs={settings.cpus} Boards=1 SocketsPerBoard=1 CoresPerSocket={settings.cpus} ThreadsPerCore=1"
    gpus = f"Gres=gpu:{settings.gpus}" if settings.gpus else ""
    return f"GresTypes=gpu\n{names} {ports} {cores} RealMemory={settings.memory_mb} {gpus} State=UNKNOWN"


def _partitions(folder: Path, settings: Settings) -> str:
    common = "Nodes=ALL State=UP DefaultTime=60 MaxTime=7-0"
    return f"""
PartitionName=debug {common} PriorityTier=10 Default=YES
PartitionName=gpu {common} PriorityTier=10
PartitionName=low {common} PriorityTier=1 GraceTime=5
PartitionName=high {common} PriorityTier=20
"""
