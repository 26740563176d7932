"""How tritonserver is called: the settings, its command line and its ports."""

import contextlib
import random
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self

HOST = "127.0.0.1"


class LocalTritonError(Exception):
    """tritonserver did not come up; the message has the cause, or the end of its log."""


@dataclass(frozen=True, slots=True)
class LocalTritonSettings:
    """How to run tritonserver."""

    repository: Path  # servable: see `repository.assemble`
    state_dir: Path = Path("var/triton")  # backend directory, triton.log, endpoints.json
    grpc_port: int = 0  # 0: a free one
    http_port: int = 0
    metrics_port: int = 0
    start_timeout_s: float = 120.0
    restart_pause_s: float = 0.1  # before the first restart; doubled each time, up to:
    max_restart_pause_s: float = 30.0
    traces_url: str = ""  # of a collector that takes OTLP over HTTP, http://host:4318/v1/traces; no traces without it

    @property
    def backends(self) -> Path:
        return self.state_dir / "backends"

    @property
    def log(self) -> Path:
        return self.state_dir / "triton.log"

    @property
    def endpoints(self) -> Path:
        """Where the addresses stand while tritonserver is ready, for other processes of this project."""
        return self.state_dir / "endpoints.json"


@dataclass(frozen=True, slots=True)
class Ports:
    """tritonserver's three listeners on the loopback address."""

    grpc: int
    http: int
    metrics: int

    @classmethod
    def free(cls, settings: LocalTritonSettings) -> Self:
        """The ports in the settings, with a free one for each 0.

        Below the range that the kernel deals out to outgoing connections, so that none of those takes the port while
        tritonserver is being started again.
        """
        with contextlib.ExitStack() as held:

            def choose(wanted: int) -> int:
                if wanted:
                    return wanted
                for candidate in random.sample(range(15000, 32000), 200):
                    listener = held.enter_context(socket.socket())
                    with contextlib.suppress(OSError):
                        listener.bind((HOST, candidate))
                        return candidate
                raise LocalTritonError(f"found no free port on {HOST} between 15000 and 32000")

            return cls(choose(settings.grpc_port), choose(settings.http_port), choose(settings.metrics_port))


def command(server: Path, settings: LocalTritonSettings, ports: Ports, shm_prefix: str) -> list[str]:
    """tritonserver's command line; the regions that its python backend makes begin with `shm_prefix`."""
    tracing = [
        "--trace-config=mode=opentelemetry",
        f"--trace-config=opentelemetry,url={settings.traces_url}",
        "--trace-config=level=TIMESTAMPS",
        "--trace-config=rate=0",  # traces none of itself, but each request that names the trace it belongs to
    ]
    return [
        str(server),
        f"--model-repository={settings.repository.resolve()}",
        f"--backend-directory={settings.backends.resolve()}",
        f"--grpc-address={HOST}",
        f"--grpc-port={ports.grpc}",
        f"--http-address={HOST}",
        f"--http-port={ports.http}",
        f"--metrics-address={HOST}",
        f"--metrics-port={ports.metrics}",
        "--allow-gpu-metrics=false",
        # Models can be added and replaced later, when somebody says so and not when a poll meets half a folder.
        "--model-control-mode=explicit",
        "--load-model=*",
        # A model that fails must not take the index, which knows the reason, down with it.
        "--exit-on-error=false",
        # Completing a configuration costs a python process for each model: 1.7 s of a start that takes 0.6 s without.
        "--disable-auto-complete-config",
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
        # Those begin at 1 MiB and grow with what is sent; a larger beginning is paid at once and gained nothing.
        *(tracing if settings.traces_url else ()),
    ]
