"""Settings of the server. The only reader of the environment: `RETOUCH_` and the field's name in capitals."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

from retouch_server.models.addresses import Address, parse_address

PREFIX = "RETOUCH_"


class ConfigError(Exception):
    """A setting has a value that cannot be used; the message names it and what is allowed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server runs. Times in seconds, sizes in pixels."""

    host: str = "0.0.0.0"
    port: int = 8300
    metrics_port: int = 8301
    triton_urls: str = "localhost:8001"
    """Pools of Triton servers, separated by commas: host:port of their gRPC endpoints. All addresses behind a host, as a
    headless Service has them, get calls in turn, of the models that their own index names (see models/pools.py)."""
    shared_memory: str = "auto"
    """auto, always or never: whether pixels reach Triton through shared memory."""
    mask_store: str = "sqlite:///var/masks.sqlite"
    """SQLAlchemy URL; for many replicas `postgresql://user:password@host/database`, which needs the extra `postgres`."""
    mask_versions: int = 100
    """Of each image's mask, the newest so many versions are kept; 0: all. The current one always is."""
    mask_keep_s: float = 0.0
    """A version that was replaced longer ago than that is given up; 0: never."""
    result_cache: str = "memory"
    """Where results of models are kept, so that no window is computed twice: `memory` of this process; `redis://host:6379/0`
    (or rediss://), for replicas to share, which needs the extra `redis`; `off`."""
    result_cache_bytes: int = 96 * 1024 * 1024
    """At most, in this process. Redis has its own `maxmemory`."""
    result_cache_keep_s: float = 86_400.0
    """How long Redis keeps a result."""
    result_cache_timeout_s: float = 0.25
    """How long to wait for Redis before a result is computed; after three failures in a row it is left alone for 5 s."""
    budget_px: int = 400_000_000
    """Pixels in flight at once; a larger image is admitted alone."""
    queue: int = 64
    """Edits that may wait."""
    client_budget_px: int = 0
    """Pixels that one client (by its token's name, else by its address) may have in flight; 0: no limit."""
    tiles_in_flight: int = 4
    """Windows of one stage of one edit at the models at once."""
    model_slots: int = 0
    """Windows of all edits at the models at once; the others wait here, and those of the edit go first that is most behind what
    it was told (pipeline/slots.py). For one machine: `retouch up` takes one more than it has cores. 0: any number; they wait in
    the models' queues, which a cluster's autoscalers go by."""
    threads: int = 2
    """Threads for pixel work (the coding of PNG tiles has asyncio's own)."""
    upload_idle_s: float = 30.0
    """An upload that pauses for longer is ended."""
    download_idle_s: float = 300.0
    """An edit whose client takes nothing of the result for longer is ended: it holds pixels of the budget."""
    connection_age_s: float = 30.0
    """A connection takes new calls for about so long; then its client resolves the server's name anew, and so finds servers
    that are new. Edits under way are not disturbed. 0: for ever."""
    drain_s: float = 600.0
    """After SIGTERM: how long edits in flight may take."""
    tls_certificate: str = ""
    """PEM file; with tls_key, the server speaks TLS."""
    tls_key: str = ""
    tls_client_ca: str = ""
    """PEM file; when given, clients must show a certificate that it signed."""
    tokens_file: str = ""
    """Lines of `client-name token`; when given, callers need one."""
    policy: str = ""
    """TOML file with the policy (pipeline/policy.py tells what it holds); the one built in without it."""
    log_level: str = "INFO"
    otlp_endpoint: str = ""
    """Where traces go: a collector's OTLP over gRPC, as http://host:4317 (or https://), which needs the extra `tracing`. Empty:
    there are none."""
    trace_ratio: float = 0.05
    """Share of the edits that are traced, 0 to 1, of those whose caller has not decided it."""

    def __post_init__(self) -> None:
        try:
            self.triton_names()
        except ValueError as error:
            raise ConfigError(f"{PREFIX}TRITON_URLS: {error}") from None
        if self.shared_memory not in ("auto", "always", "never"):
            raise ConfigError(f"{PREFIX}SHARED_MEMORY={self.shared_memory!r}: choose auto, always or never")
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ConfigError(f"{PREFIX}TLS_CERTIFICATE and {PREFIX}TLS_KEY go together; give both or none")
        if self.tls_client_ca and not self.tls_certificate:
            raise ConfigError(f"{PREFIX}TLS_CLIENT_CA needs {PREFIX}TLS_CERTIFICATE and {PREFIX}TLS_KEY")
        if self.result_cache not in ("memory", "off") and not self.result_cache.startswith(("redis://", "rediss://")):
            raise ConfigError(f"{PREFIX}RESULT_CACHE: choose memory, off, or a URL as redis://host:6379/0")
        if self.otlp_endpoint and not self.otlp_endpoint.startswith(("http://", "https://")):
            raise ConfigError(f"{PREFIX}OTLP_ENDPOINT={self.otlp_endpoint!r}: give a URL as http://host:4317")
        if not 0 <= self.trace_ratio <= 1:
            raise ConfigError(f"{PREFIX}TRACE_RATIO={self.trace_ratio} must be 0 to 1")
        positive = ("budget_px", "tiles_in_flight", "threads", "upload_idle_s", "download_idle_s", "drain_s")
        for name in (*positive, "result_cache_keep_s", "result_cache_timeout_s"):
            if not getattr(self, name) > 0:  # not a number, too
                raise ConfigError(f"{PREFIX}{name.upper()}={getattr(self, name)} must be greater than 0")
        not_negative = ("port", "metrics_port", "queue", "model_slots", "client_budget_px", "mask_versions", "mask_keep_s")
        for name in (*not_negative, "result_cache_bytes", "connection_age_s"):
            value = getattr(self, name)
            most = 65_535 if name.endswith("port") else None
            if not value >= 0 or (most is not None and value > most):
                limit = "at least 0" if most is None else f"0 to {most}"
                raise ConfigError(f"{PREFIX}{name.upper()}={value} must be {limit}")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Settings from `RETOUCH_…` variables. Errors: ConfigError; a variable that no setting has is one, too."""
        known = {PREFIX + setting.name.upper(): setting for setting in fields(cls)}
        values: dict[str, Any] = {}
        for variable, text in environment.items():
            if not variable.startswith(PREFIX) or variable in _CLIENT_VARIABLES:
                continue
            if variable not in known:
                raise ConfigError(f"{variable} is not a setting; there are {', '.join(sorted(known))}")
            setting = known[variable]
            convert = {str: str, int: int, float: float}[_plain(setting.type)]
            try:
                values[setting.name] = convert(text)
            except ValueError:
                raise ConfigError(f"{variable}={text!r} is not {_plain(setting.type).__name__}") from None
        return cls(**values)

    def triton_names(self) -> list[Address]:
        """The pools of Triton servers."""
        return [parse_address(name) for name in self.triton_urls.split(",")]

    def tokens(self) -> dict[str, str]:
        """Token → client's name; empty when none is asked for. Errors: ConfigError."""
        if not self.tokens_file:
            return {}
        tokens: dict[str, str] = {}
        for number, line in enumerate(Path(self.tokens_file).read_text().splitlines(), start=1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if len(words) != 2:
                raise ConfigError(f"{self.tokens_file} line {number}: expected `client-name token`")
            tokens[words[1]] = words[0]
        if not tokens:
            raise ConfigError(f"{self.tokens_file} has no token; nobody could call")
        return tokens


_CLIENT_VARIABLES = (PREFIX + "SERVER", PREFIX + "TOKEN", PREFIX + "MODEL_REPOSITORY")


def _plain(annotation: Any) -> type:
    return annotation if isinstance(annotation, type) else get_args(annotation)[0]
