"""The web: photos brought from its public hosts alone, and the app served to it."""

import ipaddress
import multiprocessing.pool
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from wastebook.photos.decode import PhotoError

WEB = ("http://", "https://")
MOST_BYTES = 50 * 1024**2  # of a photo brought from the web, or uploaded to the app
MOST_SECONDS = 60  # that a photo may take to be brought
TIMEOUT = (3.05, 20)  # seconds to connect, and between two pieces of data
PRIVATE = "WASTEBOOK_PRIVATE"  # set to anything, it lets addresses lead to private networks


def bring(address: str) -> bytes:
    """What is at an address of the web; PhotoError where it is over `MOST_BYTES` or `MOST_SECONDS`."""
    with multiprocessing.pool.ThreadPool(1) as worker:  # no timeout of a connection bounds the whole of it
        try:
            return worker.apply_async(_download, [address]).get(MOST_SECONDS)
        except (OSError, ValueError, multiprocessing.TimeoutError) as error:  # requests' own among them
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise PhotoError(Path(address), "not brought", reason) from None


def _download(address: str) -> bytes:
    content = bytearray()
    with requests.Session() as session:
        for scheme in () if os.environ.get(PRIVATE) else WEB:
            session.mount(scheme, _PublicHosts())
        with session.get(address, stream=True, timeout=TIMEOUT) as response:
            response.raise_for_status()
            for piece in response.iter_content(1 << 16):
                content += piece
                if len(content) > MOST_BYTES:
                    raise PhotoError(Path(address), "huge", f"it has more than {MOST_BYTES >> 20} MB")
    return bytes(content)


class _PublicHosts(HTTPAdapter):
    """Connects to public addresses alone, wherever names and redirects lead: to the one that was looked up
    here, so that no second answer of the name server counts."""

    def build_connection_pool_key_attributes(self, request: Any, *rest: Any, **more: Any) -> Any:
        """The host to connect to, by its address, and the name that its certificate must have."""
        place, security = super().build_connection_pool_key_attributes(request, *rest, **more)
        found = socket.getaddrinfo(place["host"], place["port"], type=socket.SOCK_STREAM)
        address = str(found[0][4][0])
        if not ipaddress.ip_address(address).is_global:
            detail = f"{address} is on a private network (set {PRIVATE}=1 to let it be asked)"
            raise PhotoError(Path(request.url), "refused", detail)
        request.headers["Host"] = urlsplit(request.url).netloc.rpartition("@")[2]
        return place | {"host": address}, security | {"server_hostname": place["host"]}


def serve_app(run: str | None, port: int, address: str) -> int:
    """Serve the app with the models of a run until it is ended; gives its exit code."""
    app = Path(__file__).with_name("app.py")
    options = {"server.port": port, "server.address": address, "server.maxUploadSize": MOST_BYTES >> 20}
    options |= {"server.headless": "true", "server.scriptHealthCheckEnabled": "true"}
    options |= {"client.showErrorDetails": "none", "client.toolbarMode": "minimal"}
    options |= {"browser.gatherUsageStats": "false"}
    command = [sys.executable, "-m", "streamlit", "run", str(app)]
    command += [f"--{name}={value}" for name, value in options.items()]
    return subprocess.call(command, env=os.environ | {"WASTEBOOK_APP_RUN": run or ""})
