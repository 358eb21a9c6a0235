"""The graph of chapters on Slurm: two nodes on this machine, by Snakemake's plugin, as docs/slurm has it."""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml
from test_book_press import RAIN, SVG, Weather, main_of, write_chapter

from wastebook import paths

SBIN = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])  # Debian's daemons, also for a plain user
LACKING = [
    name for name in ("munged", "slurmctld", "slurmd", "sbatch", "srun") if not shutil.which(name, path=SBIN)
]
pytestmark = [
    pytest.mark.skipif(bool(LACKING), reason=f"not installed: {', '.join(LACKING)}"),
    pytest.mark.skipif(" " in sys.executable, reason="the plugin's jobs break a Python's path at its spaces"),
]
CONFIGURATION = """
ClusterName=book
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldPort={ports[0]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=2000
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=2000
PartitionName=main Nodes=one,two Default=YES State=UP
"""
# No accounts, no gigabytes for a job, and not a minute until one is seen to have ended.
HERE = {
    "slurm-no-account": True,
    "slurm-status-command": "squeue",
    "slurm-init-seconds-before-status-checks": 1,
    "seconds-between-status-checks": 1,
}
GATE = """#| include: false
import pathlib, time
while not pathlib.Path("../{name}.gate").exists():
    time.sleep(0.1)"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Cluster:
    """Slurm in a folder of its own: a controller, two nodes, and their key."""

    def __init__(self, folder: Path):
        self.folder, self.daemons = folder, {}
        self.configuration = folder / "slurm.conf"
        self.configuration.write_text(
            CONFIGURATION.format(
                folder=folder,
                host=socket.gethostname().split(".")[0],
                user=getpass.getuser(),
                ports=free_ports(3),
            )
        )
        key = folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        files = {"key": "key", "socket": "socket", "pid": "pid", "log": "log", "seed": "seed"}
        options = [
            f"--{name}{'-file' * (name != 'socket')}={folder}/munge.{end}" for name, end in files.items()
        ]
        self.start("munge", "munged", "--foreground", "--force", *options)
        self.await_that(lambda: (folder / "munge.socket").exists())
        # Jobs are not given the variable, so each command is told where the configuration lies.
        for name in ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo", "sacctmgr", "sshare"):
            told = folder / "bin" / name
            told.parent.mkdir(exist_ok=True)
            found = shutil.which(name, path=SBIN)
            told.write_text(f'#!/bin/sh\nSLURM_CONF={self.configuration} exec {found} "$@"\n')
            told.chmod(0o755)
        self.start("controller", "slurmctld", "-D", "-c")
        for node in ("one", "two"):
            (folder / f"spool-{node}").mkdir()
            self.start(node, "slurmd", "-D", "-N", node)
        self.await_that(lambda: self.ask("sinfo", "-h", "-N", "-t", "idle", "-o", "%N") == ["one", "two"])

    def start(self, name, command, *options):
        with (self.folder / f"{name}.log").open("w") as log:
            self.daemons[name] = subprocess.Popen(
                [shutil.which(command, path=SBIN), *options],
                stdout=log,
                stderr=log,
                env=os.environ | {"SLURM_CONF": str(self.configuration)},
            )

    def ask(self, command, *options):
        """What a command of Slurm's says: a word for each thing."""
        told = [self.folder / "bin" / command, *options]
        return subprocess.run(told, capture_output=True, text=True).stdout.split()

    def await_that(self, happened, seconds=120):
        until = time.time() + seconds
        while not (found := happened()):
            assert time.time() < until, [
                (log.name, log.read_text()[-500:]) for log in self.folder.glob("*.log")
            ]
            time.sleep(0.2)
        return found

    def jobs(self):
        return self.ask("squeue", "-h", "-t", "running", "-o", "%i")

    def lose(self, node):
        """All that goes on at a node ends at once, as when its plug is drawn."""
        daemon = psutil.Process(self.daemons[node].pid)
        steps = [one for one in psutil.process_iter(["name", "cmdline"]) if one.info["name"] == "slurmstepd"]
        for process in [*steps, *(child for step in steps for child in step.children(recursive=True))]:
            with suppress(psutil.NoSuchProcess):  # it may end with the one before
                process.kill()
        daemon.kill()
        self.ask("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=lost")

    def stop(self):
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
            daemon.wait(timeout=20)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    started = Cluster(tmp_path_factory.mktemp("slurm"))
    yield started
    started.stop()


def gated(root):
    """A book whose chapters each wait for a file, `<chapter>.gate`."""
    book, rain = Weather(root), RAIN.format(svg=SVG)
    gates = [GATE.format(name=name) for name in ("01-rain", "02-sun")]
    write_chapter(root, "01-rain", "Rain", "needs: list[str] = []\ndays: int = 3", rain, gates[0])
    write_chapter(root, "02-sun", "Sun", 'needs: list[str] = ["01-rain"]', gates[1], "6 * 7")
    return book


def waiting(book, chapter):
    """Whether a chapter waits for its file."""
    state = book.run / ".build" / f"{chapter}.yml"
    return paths.read_yaml(state).get("name") == "import pathlib, time"


@pytest.fixture
def profile(cluster, tmp_path, monkeypatch):
    """Builds go to the cluster, by the profile in docs/slurm."""
    kept = yaml.safe_load((paths.PROJECT / "docs" / "slurm" / "config.yaml").read_text())
    kept["default-resources"] = {"mem_mb": 500, "runtime": 5}
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile" / "config.yaml").write_text(yaml.safe_dump(kept | HERE))
    monkeypatch.setenv("SNAKEMAKE_PROFILE", str(tmp_path / "profile"))
    monkeypatch.setenv("PATH", str(cluster.folder / "bin"), prepend=os.pathsep)


@pytest.mark.fault("kills", "a job of Slurm's killed, a node lost", "both run again, the site is the same")
def test_a_killed_job_and_a_lost_node_change_nothing(cluster, tmp_path, monkeypatch, profile):
    book = gated(tmp_path / "there")
    build = book.start()
    (job,) = cluster.await_that(lambda: waiting(book, "01-rain") and cluster.jobs())
    cluster.ask("scancel", job)
    (book.root / "01-rain.gate").touch()
    cluster.await_that(lambda: waiting(book, "02-sun"))
    (node,) = cluster.ask("squeue", "-h", "-t", "running", "-o", "%N")
    cluster.lose(node)
    (book.root / "02-sun.gate").touch()
    stderr = build.communicate(timeout=300)[1]
    assert build.returncode == 0, stderr
    monkeypatch.delenv("SNAKEMAKE_PROFILE")
    alone = gated(tmp_path / "here")
    for name in ("01-rain", "02-sun"):
        (alone.root / f"{name}.gate").touch()
    alone.print()
    for page in ("index", "chapters/01-rain", "chapters/02-sun"):
        there, here = (main_of(each.run / "site" / f"{page}.html") for each in (book, alone))
        assert there.get_text() == here.get_text()


@pytest.mark.fault("kills", "a build killed while Slurm runs its chapters", "its jobs are cancelled")
def test_jobs_end_with_their_build(cluster, tmp_path, profile):
    book = gated(tmp_path / "there")
    build = book.start()
    cluster.await_that(lambda: waiting(book, "01-rain") and cluster.jobs())
    build.kill()
    cluster.await_that(lambda: not cluster.jobs())
    build.communicate()
