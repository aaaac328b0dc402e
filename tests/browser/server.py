"""Start and stop a real JupyterLab or Notebook 7 on the loopback address, away from the user's settings."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from hatch_build import NAME, assemble

ROOT = Path(__file__).parents[2]
App = Literal["lab", "notebook"]
START_SECONDS = 60


@dataclass(frozen=True)
class Server:
    """A running server: its folder, address and token."""

    app: App
    root: Path
    base: str
    token: str

    def url(self, path: str) -> str:
        return f"{self.base}/{path}?token={self.token}"

    def request(self, path: str, method: str = "GET") -> bytes:
        call = urllib.request.Request(self.url(path), method=method)  # noqa: S310 (our own http address)
        with urllib.request.urlopen(call, timeout=5) as reply:  # noqa: S310
            return bytes(reply.read())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def isolated_environment(settings: Path) -> dict[str, str]:
    """The environment with every folder of settings that Jupyter and IPython know moved into one of ours."""
    folders = {
        "IPYTHONDIR": "ipython",
        "JUPYTERLAB_SETTINGS_DIR": "lab-settings",
        "JUPYTERLAB_WORKSPACES_DIR": "lab-workspaces",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
    }
    return {
        **os.environ,
        **{variable: str(settings / folder) for variable, folder in folders.items()},
        "JUPYTER_PLATFORM_DIRS": "1",
        "JUPYTER_PREFER_ENV_PATH": "0",  # the extension of the working tree before an installed one
        "NO_PROXY": "*",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def command(app: App, root: Path, port: int, token: str) -> list[str]:
    shared = [
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={root}",
        "--ServerApp.disable_check_xsrf=True",
        "--ServerApp.terminals_enabled=False",
        f"--IdentityProvider.token={token}",
    ]
    if app == "notebook":
        return [sys.executable, "-m", "notebook", *shared, "--JupyterNotebookApp.expose_app_in_browser=True"]
    return [sys.executable, "-m", "jupyterlab", *shared, "--LabApp.expose_app_in_browser=True"]


def answer_questions(settings: Path) -> None:
    """Lab asks on its first start whether to fetch news, in a corner that covers what tests look at."""
    folder = settings / "lab-settings" / "@jupyterlab" / "apputils-extension"
    folder.mkdir(parents=True, exist_ok=True)
    answers = {"fetchNews": "false", "checkForUpdates": False}
    (folder / "notification.jupyterlab-settings").write_text(json.dumps(answers), encoding="utf-8")


def install_extension(settings: Path) -> None:
    """The notebook extension as it is in the working tree: an editable install has an older copy, or none."""
    assemble(ROOT, settings / "data" / "labextensions" / NAME, version(NAME))


def wait_until_up(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            server.request("api")
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"Jupyter did not start; the end of its log:\n{log.read_text()[-2000:]}")


@contextlib.contextmanager
def jupyter_server(root: Path, app: App, settings: Path) -> Iterator[Server]:
    """A server of our own; its kernels and itself are ended on leaving."""
    root.mkdir(parents=True, exist_ok=True)
    answer_questions(settings)
    install_extension(settings)
    port, token, log = free_port(), secrets.token_hex(16), settings / "server.log"
    server = Server(app, root, f"http://127.0.0.1:{port}", token)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command(app, root, port, token),
            env=isolated_environment(settings),
            cwd=root,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_until_up(server, process, log)
            yield server
        finally:
            stop(server, process)


def stop(server: Server, process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError, ValueError):
        for kernel in json.loads(server.request("api/kernels")):
            server.request(f"api/kernels/{kernel['id']}", "DELETE")
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
