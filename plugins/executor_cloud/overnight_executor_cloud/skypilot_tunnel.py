"""SSH tunnels to machines whose cloud opens no ports, through the person's own SkyPilot installation."""

import atexit
import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import threading
from pathlib import Path

from overnight_jobs.provider import ProviderError


class Tunnels:
    """One tunnel per cluster: opened when asked for, and again after it broke; thread-safe.

    sky_command: the `sky` of an installation that may log in to the clusters. api_url: its server.
    """

    def __init__(self, sky_command: str, api_url: str, token_env: str) -> None:
        self._sky = shlex.split(sky_command)
        self._api_url = api_url
        self._token_env = token_env
        self._open: dict[str, tuple[subprocess.Popen[bytes], int]] = {}
        self._lock = threading.Lock()
        atexit.register(self.close)

    def missing(self) -> list[str]:
        """Programs that are needed and not there."""
        return [program for program in (self._sky[0], "ssh") if shutil.which(program) is None]

    def url(self, cluster: str, port: int) -> str | None:
        """Where a machine's port is reached; None: not yet, ask again. Raises ProviderError."""
        with self._lock:
            process, local = self._open.get(cluster, (None, 0))
            if process is None or process.poll() is not None:
                process, local = self._connect(cluster, port)
                self._open[cluster] = (process, local)
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", local), timeout=1.0):
            return f"http://127.0.0.1:{local}"
        return None

    def close(self, cluster: str | None = None) -> None:
        """Close one tunnel, or all."""
        with self._lock:
            for name in [cluster] if cluster is not None else list(self._open):
                process, _ = self._open.pop(name, (None, 0))
                if process is not None:
                    process.terminate()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(5.0)

    def _connect(self, cluster: str, port: int) -> tuple[subprocess.Popen[bytes], int]:
        """`sky status CLUSTER` writes an SSH configuration; the far end's `cat` ends the tunnel when
        this process ends, however it ends."""
        folder = Path.home() / ".sky" / "generated"
        config, key = folder / "ssh" / cluster, folder / "ssh-keys" / f"{cluster}.key"
        self._sky_status(cluster)
        if not config.is_file():
            raise ProviderError(f"`sky status {cluster}` has written no {config}.")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            local = probe.getsockname()[1]
        options = ["BatchMode=yes", "ExitOnForwardFailure=yes", "ServerAliveInterval=15", "ServerAliveCountMax=4"]
        argv = ["ssh", "-F", str(config), "-T", "-L", f"127.0.0.1:{local}:127.0.0.1:{port}"]
        argv += ["-i", str(key)] if key.is_file() else []
        argv += [part for option in options for part in ("-o", option)]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen([*argv, cluster, "cat"], stdin=subprocess.PIPE, stdout=quiet, stderr=quiet)
        return process, local

    def _sky_status(self, cluster: str) -> None:
        env = {**os.environ, "SKYPILOT_API_SERVER_ENDPOINT": self._api_url, "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}
        if token := os.environ.get(self._token_env):
            env["SKYPILOT_SERVICE_ACCOUNT_TOKEN"] = token
        argv = [*self._sky, "status", cluster]
        try:
            done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=60.0)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ProviderError(f"`{shlex.join(argv)}` cannot be run: {error}") from error
        if done.returncode:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()[-300:]
            raise ProviderError(f"`{shlex.join(argv)}` ended with {done.returncode}: {said}")
