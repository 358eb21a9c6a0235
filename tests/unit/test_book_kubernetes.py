"""The graph of chapters on Kubernetes, by Snakemake's plugin, as docs/kubernetes has it: on a server that
knows as much of Kubernetes as the plugin asks for, and whose pods are processes here."""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from test_book_press import Weather, main_of

from wastebook import paths

LACKING = [name for name in ("git", "rsync") if not shutil.which(name)]
for name in ("snakemake_executor_plugin_kubernetes", "snakemake_storage_plugin_fs"):
    LACKING += [] if importlib.util.find_spec(name) else [name.replace("_", "-")]
installed = pytest.mark.skipif(bool(LACKING), reason=f"not installed: {', '.join(LACKING)}")
FOLDER = paths.PROJECT / "docs" / "kubernetes"
PROFILE = yaml.safe_load((FOLDER / "config.yaml").read_text())
CLAIM, ACCOUNT, ROLE, _, BUILD = yaml.safe_load_all((FOLDER / "book.yaml").read_text())
# Of an address: group, resource, name, part; and what a request does to that.
ADDRESS = re.compile(r"/apis?(?:/(\w+))?/v1/namespaces/default/(\w+)(?:/([\w-]+))?(?:/(\w+))?")
VERBS = {("POST", False): "create", ("GET", False): "list", ("GET", True): "get", ("DELETE", True): "delete"}
DONE = {"kind": "Status", "status": "Success"}


class Pod:
    """A container's command as a process, with what a container has: the variables of its image and an empty
    folder to work in. The disk is mounted where it lies."""

    def __init__(self, cluster, job):
        self.job, self.lost = job["metadata"]["name"], False
        (self.container,) = job["spec"]["template"]["spec"]["containers"]
        folder = cluster.folder / self.job
        folder.mkdir()
        self.log = folder.with_suffix(".log")
        command = [*self.container["command"], *self.container["args"]]
        streams = dict.fromkeys(("stdout", "stderr"), self.log.open("w")) | {"stdin": subprocess.DEVNULL}
        variables = cluster.image | {"HOME": str(folder)}
        self.process = subprocess.Popen(command, cwd=folder, env=variables, start_new_session=True, **streams)

    def end(self, lost=False):
        """All that goes on in it ends at once; the pod of a `lost` node is not even there any more."""
        self.lost = lost
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def status(self):
        """Of its job."""
        return {None: {"active": 1}, 0: {"succeeded": 1}}.get(self.process.poll(), {"failed": 1})

    def described(self):
        code = self.process.poll()
        state = {"running": {}} if code is None else {"terminated": {"exitCode": code % 256}}
        named = {"name": "snakemake", "image": "", "imageID": "", "ready": True, "restartCount": 0}
        return {"metadata": {"name": self.job}, "status": {"containerStatuses": [named | {"state": state}]}}


class Cluster(ThreadingHTTPServer):
    """What the plugin asks Kubernetes for, and nothing that the role in docs/kubernetes forbids."""

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Answer)
        self.folder, self.pods, self.refused, self.loses = folder, {}, [], False
        programs = [str(Path(sys.executable).parent), os.environ["PATH"]]
        self.image = {"PATH": os.pathsep.join(programs), "PYTHONPATH": str(paths.PROJECT / "lib")}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def answer(self, method, group, resource, name, part, body, query):
        """A code, and what goes with it."""
        kind, verb = f"{resource}/{part}" if part else resource, VERBS[method, name is not None]
        if not any(
            (group or "") in rule["apiGroups"] and kind in rule["resources"] and verb in rule["verbs"]
            for rule in ROLE["rules"]
        ):
            self.refused.append((verb, kind))
            return 403, {}
        match verb, kind:
            case "create", "jobs":
                pod = self.pods[body["metadata"]["name"]] = Pod(self, body)
                if self.loses:
                    pod.end(lost=True)
                self.loses = False
                return 201, body
            case "get", "jobs/status":
                return 200, {"metadata": {"name": name}, "status": self.pods[name].status()}
            case "list", "pods":
                pod = self.pods[query["labelSelector"][0].removeprefix("job-name=")]
                return 200, {"items": [] if pod.lost else [pod.described()]}
            case "get", "pods/log":
                return 400 if "previous" in query else 200, self.pods[name].log.read_text()
            case "delete", "pods":
                self.pods[name].end()
        return 200, body if verb == "create" else DONE


class Answer(BaseHTTPRequestHandler):
    def do_POST(self):
        size = int(self.headers.get("Content-Length") or 0)
        address, body = urlsplit(self.path), json.loads(self.rfile.read(size) or "null")
        asked = ADDRESS.fullmatch(address.path).groups()
        code, told = self.server.answer(self.command, *asked, body, parse_qs(address.query))
        data = json.dumps(told).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_DELETE = do_POST

    def log_message(self, *told):
        pass


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Builds go to a cluster, by the profile in docs/kubernetes."""
    for folder in ("pods", "profile"):
        (tmp_path / folder).mkdir()
    started = Cluster(tmp_path / "pods")
    profile = PROFILE | {
        "kubernetes-persistent-volumes": [f"book:{tmp_path}"],
        "remote-job-local-storage-prefix": str(tmp_path / "storage"),  # pods here have no folder of their own
        "seconds-between-status-checks": 1,
        "set-threads": {"01-rain": 2},
    }
    (tmp_path / "profile" / "config.yaml").write_text(yaml.safe_dump(profile))
    address = f"http://127.0.0.1:{started.server_port}"
    config = {"current-context": "one", "clusters": [{"name": "one", "cluster": {"server": address}}]}
    config |= {"users": [{"name": "one", "user": {}}]}
    config |= {"contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}]}
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setenv("SNAKEMAKE_PROFILE", str(tmp_path / "profile"))
    yield started
    for pod in started.pods.values():
        pod.end()
    started.shutdown()
    assert started.refused == []


def await_that(happened, seconds=120):
    until = time.time() + seconds
    while not happened():
        assert time.time() < until
        time.sleep(0.1)


def test_the_disk_and_the_image_are_those_of_the_profile():
    pod = BUILD["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (mount,) = container["volumeMounts"]
    claim, place = PROFILE["kubernetes-persistent-volumes"][0].split(":")
    assert {claim} == {CLAIM["metadata"]["name"], *(each["name"] for each in pod["volumes"]), mount["name"]}
    assert place == mount["mountPath"] and container["command"][-1].startswith(f"{place}/")
    assert (container["image"], pod["serviceAccountName"]) == (
        PROFILE["container-image"],
        ACCOUNT["metadata"]["name"],
    )
    dockerfile = (FOLDER / "Dockerfile").read_text()
    (profile,) = container["env"]
    assert profile["value"] == re.search("^WORKDIR (.*)$", dockerfile, re.M)[1] + "/docs/kubernetes"
    assert f"WASTEBOOK_CACHE={place}/" in dockerfile


@installed
@pytest.mark.parametrize(
    "spoilt, told", [({}, None), ({"default-storage-provider": None}, "default storage provider")]
)
def test_a_dry_run_sees_what_the_profile_lacks(tmp_path, spoilt, told):
    rain, sun = ({"needs": needs, "ingredients": {}} for needs in ([], ["01-rain"]))
    graph = {"chapters": {"01-rain": rain, "02-sun": sun}, "python": "", "threads": 1}
    (tmp_path / ".build").mkdir()
    (tmp_path / ".build" / "graph.json").write_text(json.dumps(graph))
    profile = {name: value for name, value in (PROFILE | spoilt).items() if value}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(profile))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(paths.PROJECT / "Snakefile")]
    command += ["--dry-run", "--directory", str(tmp_path), "--profile", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode == 0) == (told is None), done.stderr
    assert (told or "02-sun") in done.stdout + done.stderr


@installed
@pytest.mark.fault(
    "kills",
    "a build killed while Kubernetes runs its chapters, a node lost under the next",
    "its job is deleted; the chapter runs again, the site is whole",
)
def test_a_killed_build_and_a_lost_node_change_nothing(cluster, tmp_path, monkeypatch):
    book = Weather(tmp_path / "there")
    build = book.start()
    await_that(lambda: cluster.pods)
    (pod,) = cluster.pods.values()
    limits = {"cpu": "2000m", "memory": "4000M", "ephemeral-storage": "4000M"}
    assert (pod.container["image"], pod.container["resources"]["limits"]) == ("wastebook", limits)
    assert {"name": "book", "mountPath": str(tmp_path)} in pod.container["volumeMounts"]
    build.kill()
    await_that(lambda: pod.process.poll() is not None)
    build.communicate()
    cluster.loses = True
    assert book.print()[0] == {"01-rain": "done", "02-sun": "done"}
    assert len(cluster.pods) == 4
    rain, sun = (main_of(book.run / "site" / "chapters" / f"{name}.html") for name in ("01-rain", "02-sun"))
    assert rain.select_one("#fig-rain img")["alt"] == "It rained for 3 days."
    assert "After 3 days of rain" in sun.get_text()
    monkeypatch.delenv("SNAKEMAKE_PROFILE")
    assert book.print()[0] == {"01-rain": "reused", "02-sun": "reused"}
