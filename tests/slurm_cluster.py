"""A Slurm cluster of one node, this machine, that lives in a folder and answers on loopback alone."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "sinfo")
SETTINGS = """ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
MailProg=/bin/true
MinJobAge=3600
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class ClusterUnavailableError(RuntimeError):
    """Slurm cannot be had, or does not come up, on this machine; the message says why."""


def install_slurm() -> None:
    """Make sure of Slurm's programs: those that are there, or Debian's, if this user may install them.

    Raises
    ------
    ClusterUnavailableError
        If they are not there and cannot be installed.
    """
    os.environ["PATH"] += f"{os.pathsep}/usr/sbin{os.pathsep}/sbin"
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if not missing:
        return
    if os.geteuid() or not shutil.which("apt-get"):
        raise ClusterUnavailableError(
            f"{', '.join(missing)} are not here, and this user cannot install them by apt-get"
        )
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "--yes", "--no-install-recommends", "slurm-wlm", "munge"]
    for attempt in (["apt-get", "update"], command):
        try:
            done = subprocess.run(attempt, capture_output=True, text=True, timeout=300, env=quiet)
        except subprocess.TimeoutExpired:
            raise ClusterUnavailableError(f"{' '.join(attempt)} had no answer within five minutes") from None
        if done.returncode and attempt is command:
            raise ClusterUnavailableError(f"apt-get could not install slurm-wlm: {done.stderr.strip()[-300:]}")


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def loopback_cluster(folder: Path, cpus: int) -> Iterator[dict[str, str]]:
    """Start munged, slurmctld and slurmd, and stop them whatever happens.

    Yields
    ------
    dict
        What the environment of Slurm's commands must hold.
    """
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o600)
    host, user = socket.gethostname().split(".")[0], getpass.getuser()
    controller, daemon = free_ports(2)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 - 100
    settings = folder / "slurm.conf"
    settings.write_text(SETTINGS.format(**locals()))
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
    environment = {"SLURM_CONF": str(settings), "PATH": f"{keep_settings(folder)}{os.pathsep}{os.environ['PATH']}"}
    munged = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket"]
    munged += [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "seed", "log")]
    commands = {
        "munged": munged,
        "slurmctld": ["slurmctld", "-D", "-f", str(settings)],
        "slurmd": ["slurmd", "-D", "-f", str(settings), "-N", host],
    }
    started: list[subprocess.Popen] = []
    try:
        for name, command in commands.items():
            with (folder / f"{name}.said").open("w") as said:
                started.append(subprocess.Popen(command, stdout=said, stderr=said, env={**os.environ, **environment}))
            if name == "munged":
                wait_until(lambda: (folder / "munge.socket").exists(), "munged", folder)
        wait_until(lambda: node_state(environment) == "idle", "slurmd", folder)
        yield environment
    finally:
        subprocess.run(["scancel", "--user", user], env={**os.environ, **environment}, capture_output=True, timeout=60)
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
        for process in reversed(started):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def keep_settings(folder: Path) -> Path:
    """Make an srun that knows these settings: inside a job Snakemake takes Slurm's variables from the environment."""
    script = folder / "bin" / "srun"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
    script.chmod(0o755)
    return script.parent


def node_state(environment: dict[str, str]) -> str:
    """What the controller says of its node."""
    command = ["sinfo", "--noheader", "--format=%T"]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **environment})
    return asked.stdout.strip()


def wait_until(happened, name: str, folder: Path, seconds: int = 60) -> None:
    """Wait for a service to come up, and say what all of them said if it does not."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            said = "\n".join(f"{path.name}: {path.read_text()[-1500:]}" for path in sorted(folder.glob("*.said")))
            raise ClusterUnavailableError(f"{name} did not come up within {seconds} seconds:\n{said}")
        time.sleep(0.3)
