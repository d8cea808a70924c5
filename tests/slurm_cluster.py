"""A Slurm cluster of one node on this machine, for tests: munged, slurmctld and slurmd in a directory of their own.

On Debian: apt-get install --no-install-recommends munge slurmctld slurmd slurm-client
"""

import contextlib
import getpass
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

DAEMONS = ("munged", "slurmctld", "slurmd")
COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "srun")
# Slurm keeps a requeued job waiting until its old credential is no longer valid; five seconds are the least there is.
# No cgroups, which a container does not have; four cores, whatever there are.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={home}/munge.socket,cred_expire=5
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=10
MinJobAge=300
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """What of Slurm is not installed here; '' where it can be started."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    gone = [name for name in DAEMONS + COMMANDS if shutil.which(name, path=path) is None]
    return f"needs {', '.join(gone)}: apt-get install munge slurmctld slurmd slurm-client" if gone else ""


@contextlib.contextmanager
def one_node(home: pathlib.Path) -> Iterator[str]:
    """Starts it and gives the path of its slurm.conf, for the variable SLURM_CONF; RuntimeError where it does not
    come up, with the ends of the logs."""
    for directory in (home, home / "state", home / "spool"):
        directory.mkdir(exist_ok=True)
        directory.chmod(0o755)  # munged wants its socket to be within reach
    key, configuration = home / "munge.key", home / "slurm.conf"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o600)
    ports = free_ports(2)
    configuration.write_text(CONFIGURATION.format(home=home, host=socket.gethostname(), user=getpass.getuser(),
                                                  controller_port=ports[0], node_port=ports[1]))
    environment = os.environ | {"SLURM_CONF": str(configuration), "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    commands = (["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={home}/munge.socket",
                 f"--pid-file={home}/munged.pid", f"--log-file={home}/munged.log", f"--seed-file={home}/munged.seed"],
                ["slurmctld", "-D", "-i"], ["slurmd", "-D", "-N", socket.gethostname()])
    running = []
    try:
        for command in commands:
            with open(home / f"{command[0]}.out", "wb") as log:
                running.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment,
                                                stdin=subprocess.DEVNULL, start_new_session=True))
            time.sleep(0.5)
        _wait_until_idle(environment, home)
        yield str(configuration)
    finally:
        subprocess.run(["scancel", "--signal=KILL", "--full", f"--user={getpass.getuser()}"], env=environment,
                       capture_output=True, timeout=60)
        for process in reversed(running):
            process.terminate()
            process.wait(timeout=60)


def _wait_until_idle(environment: dict[str, str], home: pathlib.Path) -> None:
    for _ in range(240):
        seen = subprocess.run(["sinfo", "--noheader", "--format=%t"], env=environment, capture_output=True, text=True)
        if seen.stdout.strip() == "idle":
            return
        time.sleep(0.5)
    ends = [f"{log.name}: …{log.read_text(errors='replace')[-500:]}" for log in home.glob("*.out")]
    raise RuntimeError(f"the node is {seen.stdout.strip() or seen.stderr.strip()!r}; {' '.join(ends)}")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
