"""One search by several workers, over PostgreSQL."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
import pytest
from scipy.stats import mannwhitneyu
from test_learning_heads import search

# Debian keeps the server's commands out of PATH, each version in a folder.
FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
BIN = os.pathsep.join([*map(str, reversed(FOLDERS)), os.environ["PATH"]])
TRIALS, WORKERS = 12, 4
SEARCH = """
import json, sys, time
from pathlib import Path
from wastebook.learning import search
from test_learning_heads import CLASSES, MODEL, made_up

search.HEARTBEAT = 1
slow = search.train_head

def train_head(*arguments, **parameters):
    print("begun", flush=True)
    time.sleep(float(sys.argv[1]))
    return slow(*arguments, **parameters)

search.train_head = train_head
views, plain, photos = made_up(count=150)
study = search.search_head(views, plain, photos, CLASSES, MODEL, Path("unused"), int(sys.argv[2]), 0, 3)
print(json.dumps([(trial.value, trial.params) for trial in study.trials]))
"""


@pytest.fixture(scope="module")
def database():
    """The address of a database of PostgreSQL's, started for these tests."""
    initdb, server = (shutil.which(name, path=BIN) for name in ("initdb", "postgres"))
    if not initdb or not server:
        pytest.skip("PostgreSQL is not installed")
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0  # as root it will not run
    user = {"user": "postgres"} if as_root else {}
    with tempfile.TemporaryDirectory() as folder:  # a folder of pytest's is closed to other users
        if user:
            shutil.chown(folder, "postgres")
        made = [initdb, "-D", folder, "-U", "book", "-A", "trust"]
        subprocess.run(made, check=True, capture_output=True, **user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = ["-p", str(port), "-k", folder, "-h", "127.0.0.1", "-c", "fsync=off"]
        with subprocess.Popen([server, "-D", folder, *options], stderr=subprocess.DEVNULL, **user) as running:
            state = Path(folder, "postmaster.pid")
            while not state.exists() or "ready" not in state.read_text():
                assert running.poll() is None
                time.sleep(0.1)
            yield f"postgresql+pg8000://book@127.0.0.1:{port}/postgres"
            running.send_signal(signal.SIGINT)  # ends at once, whoever is connected


def start(address, seconds, trials):
    return subprocess.Popen(
        [sys.executable, "-c", SEARCH, str(seconds), str(trials)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OPTUNA_STORAGE": address, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.mark.fault("kills", "one of four workers that search together", "its trial is tried again by another")
def test_four_workers_share_a_search(database, tmp_path):
    lost = start(database, 600, TRIALS)
    assert lost.stdout.readline() == "begun\n"
    lost.kill()
    lost.communicate()
    time.sleep(2.5)  # it has not been heard of for two of its heartbeats
    workers = [start(database, 0.1, TRIALS) for _ in range(WORKERS)]
    told = [json.loads(worker.communicate(timeout=120)[0].splitlines()[-1]) for worker in workers]
    assert all(one == told[0] for one in told)
    values, parameters = zip(*told[0], strict=True)
    assert len(values) == len({json.dumps(one) for one in parameters}) == TRIALS  # none was drawn twice
    (name,) = optuna.get_all_study_names(database)
    trials = optuna.load_study(study_name=name, storage=database).trials
    failed = [trial for trial in trials if trial.state == optuna.trial.TrialState.FAIL]
    again = [trial for trial in trials if trial.system_attrs.get("failed_trial") == 0]
    assert [trial.number for trial in failed] == [0] and len(again) == 1
    assert again[0].params == failed[0].params and again[0].params in parameters
    alone = [trial.value for trial in search(tmp_path / "journal", TRIALS).trials]
    assert mannwhitneyu(values, alone).pvalue > 0.01  # they find what one finds, within chance
