"""Settings: the environment is read once, and a value that cannot be used is named with its variable."""

from dataclasses import fields
from pathlib import Path

import pytest

from retouch_server.config import ConfigError, Settings


def test_the_defaults_are_the_empty_environment() -> None:
    assert Settings.from_environment({}) == Settings()
    assert Settings.from_environment({"PATH": "/bin", "RETOUCH_TOKEN": "the client's", "RETOUCH_SERVER": "x"}) == Settings()


def test_every_setting_can_be_given() -> None:
    values = {field.name: getattr(Settings(), field.name) for field in fields(Settings)}
    given = {f"RETOUCH_{name.upper()}": str(value) for name, value in values.items()}
    assert Settings.from_environment(given) == Settings()
    changed = Settings.from_environment({"RETOUCH_PORT": "1", "RETOUCH_UPLOAD_IDLE_S": "2.5", "RETOUCH_HOST": "::1"})
    assert (changed.port, changed.upload_idle_s, changed.host) == (1, 2.5, "::1")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RETOUCH_PORT", "many"),
        ("RETOUCH_PORT", "1.5"),
        ("RETOUCH_PORT", "-1"),
        ("RETOUCH_PORT", "65536"),
        ("RETOUCH_METRICS_PORT", "70000"),
        ("RETOUCH_BUDGET_PX", "0"),
        ("RETOUCH_QUEUE", "-1"),
        ("RETOUCH_CLIENT_BUDGET_PX", "-1"),
        ("RETOUCH_TILES_IN_FLIGHT", "0"),
        ("RETOUCH_MODEL_SLOTS", "-1"),
        ("RETOUCH_THREADS", "-3"),
        ("RETOUCH_UPLOAD_IDLE_S", "soon"),
        ("RETOUCH_UPLOAD_IDLE_S", "0"),
        ("RETOUCH_UPLOAD_IDLE_S", "nan"),
        ("RETOUCH_DRAIN_S", "-1"),
        ("RETOUCH_SHARED_MEMORY", "yes"),
        ("RETOUCH_MASK_VERSIONS", "-1"),
        ("RETOUCH_MASK_KEEP_S", "nan"),
        ("RETOUCH_RESULT_CACHE", "memcached://host"),
        ("RETOUCH_RESULT_CACHE_BYTES", "-1"),
        ("RETOUCH_RESULT_CACHE_KEEP_S", "0"),
        ("RETOUCH_RESULT_CACHE_TIMEOUT_S", "0"),
        ("RETOUCH_OTLP_ENDPOINT", "collector:4317"),
        ("RETOUCH_TRACE_RATIO", "1.5"),
        ("RETOUCH_TRACE_RATIO", "nan"),
        ("RETOUCH_TLS_KEY", "key.pem"),
        ("RETOUCH_TLS_CERTIFICATE", "cert.pem"),
        ("RETOUCH_TLS_CLIENT_CA", "ca.pem"),
        ("RETOUCH_TRITON_URLS", "triton"),
        ("RETOUCH_TRITON_URLS", "triton:8001,"),
        ("RETOUCH_CONNECTION_AGE_S", "-1"),
        ("RETOUCH_PROT", "8300"),
    ],
)
def test_a_bad_value_is_named(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=variable):
        Settings.from_environment({variable: value})


def test_tokens(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    assert Settings().tokens() == {}
    file.write_text("# who may call\n\nshop  s3cret\nblog t0ken\n")
    assert Settings(tokens_file=str(file)).tokens() == {"s3cret": "shop", "t0ken": "blog"}


@pytest.mark.parametrize(
    ("content", "told"), [("", "no token"), ("# none\n", "no token"), ("shop a b\n", "line 1"), ("x\n", "line 1")]
)
def test_a_bad_tokens_file_is_named(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(content)
    with pytest.raises(ConfigError, match=told):
        Settings(tokens_file=str(file)).tokens()
