"""What the Dockerfiles do, as far as it can be done without a container engine: the files they copy, and the steps they run."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from retouch_server.config import Settings
from tests.k8s.rendering import BUILDS, ROOT, containers, find, render, workloads
from tests.support.processes import free_port

DOCKERFILES = (ROOT / "docker/orchestrator.Dockerfile", ROOT / "docker/triton.Dockerfile")


def copied(dockerfile: Path, stage: str) -> list[str]:
    """Paths that a stage copies from the build's context."""
    _, _, text = dockerfile.read_text().partition(f" AS {stage}\n")
    lines = re.findall(r"^COPY (?!--from)(.+)$", text.partition("\nFROM ")[0], re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the Dockerfiles copy, and nothing else."""
    folder = tmp_path_factory.mktemp("context")
    for source in {*copied(DOCKERFILES[0], "build"), *copied(DOCKERFILES[1], "models")}:
        place = folder / source
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            left_out = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
            shutil.copytree(ROOT / source, place, ignore=left_out, dirs_exist_ok=True)
        else:
            shutil.copy(ROOT / source, place)
    return folder


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, context: Path) -> Path:
    """An interpreter whose environment is the orchestrator image's."""
    folder = tmp_path_factory.mktemp("image")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install(context, folder / "bin/python", "orchestrator")
    return folder / "bin/python"


def install(context: Path, python: Path, *what: str) -> None:
    environment = os.environ | {"PYTHON": str(python), "PIP_NO_COMPILE": "1"}
    run = subprocess.run([context / "docker/install.sh", *what], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.fixture
def serving(python: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """An orchestrator whose Triton is not there, as on a cluster's first minute, and its operator port."""
    port = free_port()
    environment = {
        "PATH": os.defpath,
        "RETOUCH_TRITON_URLS": f"127.0.0.1:{free_port()}",
        "RETOUCH_PORT": str(free_port()),
        "RETOUCH_METRICS_PORT": str(port),
        "RETOUCH_MASK_STORE": f"sqlite:///{tmp_path}/masks.sqlite",
    }
    process = subprocess.Popen([python, "-I", "-m", "retouch_server"], env=environment, cwd="/", stderr=subprocess.DEVNULL)
    yield process, f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


def test_the_orchestrator_image_serves_probes_and_leaves_on_sigterm(serving: tuple[subprocess.Popen[bytes], str]) -> None:
    process, url = serving
    until = time.monotonic() + 60
    while status(f"{url}/livez") != 200:
        assert process.poll() is None, "it ended"
        assert time.monotonic() < until
        time.sleep(0.1)
    assert status(f"{url}/readyz") == 503
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0


def test_the_orchestrator_image_has_the_extras_and_no_torch(python: Path) -> None:
    code = (
        "import importlib.util as u; "
        "print(*(n for n in ('asyncpg', 'redis', 'opentelemetry.sdk', 'torch', 'onnxruntime', 'pytriton') if u.find_spec(n)))"
    )
    run = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["asyncpg", "redis", "opentelemetry.sdk"]


def test_the_triton_image_has_what_models_import_and_every_model(python: Path, context: Path, tmp_path: Path) -> None:
    chosen = tmp_path / "chosen"
    subprocess.run([python, context / "docker/place_models.py", "cpu", context / "model_repository", chosen], check=True)
    environment = os.environ | {"PYTHON": str(python), "MODELS": str(chosen)}
    subprocess.run([context / "docker/install.sh", "models", tmp_path / "models"], env=environment, check=True)
    names = {place.parent.name for place in (ROOT / "model_repository").glob("*/config.pbtxt")}
    assert {place.name for place in (tmp_path / "models").iterdir()} == names
    assert not list((tmp_path / "models").rglob("*.from-wheel"))
    assert (tmp_path / "models/text_detect/1/model.onnx").stat().st_size > 1e6
    install(context, python, "triton")
    subprocess.run([python, "-I", "-c", "import cv2, numpy, onnxruntime"], check=True)


def test_models_for_a_gpu(tmp_path: Path) -> None:
    """Triton's own schema reads the configurations; the python backend's are those of the CPU."""
    place = ROOT / "docker/place_models.py"
    subprocess.run([sys.executable, place, "gpu", ROOT / "model_repository", tmp_path / "gpu"], check=True)
    on_gpu = 0
    for path in (tmp_path / "gpu").glob("*/config.pbtxt"):
        config = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
        if config.backend != "onnxruntime":
            assert path.read_text() == (ROOT / "model_repository" / path.parent.name / "config.pbtxt").read_text()
            continue
        on_gpu += 1
        assert [group.kind for group in config.instance_group] == [model_config_pb2.ModelInstanceGroup.KIND_GPU]
        assert "intra_op_thread_count" not in config.parameters
        side = int(config.parameters["retouch.window_px"].string_value)
        assert list(config.model_warmup[0].inputs["image"].dims) == [side, side, 3]
    assert on_gpu >= 4


def test_images_are_pinned_and_not_root() -> None:
    for path in DOCKERFILES:
        text = path.read_text()
        given = re.findall(r"^ARG \w+_IMAGE=(.+)$", text, re.MULTILINE)
        assert given
        assert all(re.search(r":\d[\w.]+-", image) for image in given), given
        assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) <= {"${PYTHON_IMAGE}", "${TRITON_IMAGE}"}
        assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["1000:1000"]


def test_what_the_dockerfiles_copy_reaches_the_builder() -> None:
    """.dockerignore leaves all out but what it names."""
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for path in DOCKERFILES:
        for source in re.findall(r"^COPY (?!--from)(.+)$", path.read_text(), re.MULTILINE):
            for name in source.split()[:-1]:
                assert (ROOT / name).exists(), name
                assert any(name == each or name.startswith(f"{each}/") for each in kept), name


def test_the_probe_is_where_the_manifests_call_it() -> None:
    for build in BUILDS:
        (container,) = containers(find(render(build), "Deployment", "triton-restore"))
        assert container["livenessProbe"]["exec"]["command"] == ["python3", "/opt/retouch/triton_alive.py"]
    assert "COPY docker/triton_alive.py /opt/retouch/triton_alive.py" in DOCKERFILES[1].read_text()


def test_compose_runs_the_same_images_hardened() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    images = {each["image"] for build in ("base",) for w in workloads(render(build)) for each in containers(w)}
    assert {each["image"] for each in services.values()} == images
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["user"] == "1000:1000"
        assert (ROOT / service["build"]["dockerfile"]) in DOCKERFILES
        assert {"mem_limit", "stop_grace_period", "healthcheck"} <= set(service)
    settings = Settings.from_environment(services["orchestrator"]["environment"])
    assert float(services["orchestrator"]["stop_grace_period"].removesuffix("s")) >= settings.drain_s + 5
