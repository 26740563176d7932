"""Supervision of a real tritonserver: faults at the start, deaths, and what is left afterwards."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from tritonclient.utils import InferenceServerException

from retouch_server.local.repository import assemble
from retouch_server.local.triton import LocalTriton, LocalTritonError, LocalTritonSettings, ModelLoadError, TritonState
from tests.local.onnx_models import inverting, write_model
from tests.local.serving import eventually, infer, picture

SUPPORT = Path(__file__).parents[1] / "support" / "model_repository"
OWNER = """\
import asyncio, sys
from pathlib import Path
from retouch_server.local.triton import LocalTriton, LocalTritonSettings

async def main():
    async with LocalTriton(LocalTritonSettings(Path(sys.argv[1]), Path(sys.argv[2]))) as triton:
        Path(f"/dev/shm/{triton.shm_prefix}client-1").write_bytes(b"a client's region")
        print(triton.shm_prefix, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def settings(tmp_path: Path) -> LocalTritonSettings:
    assemble([SUPPORT], tmp_path / "models")
    return LocalTritonSettings(tmp_path / "models", tmp_path / "state", start_timeout_s=60)


def regions(prefix: str) -> list[str]:
    """What there is in /dev/shm under a prefix, the owner's lock included."""
    return [path.name for path in Path("/dev/shm").glob(f"{prefix.removesuffix('-')}*")]


async def serves(triton: LocalTriton) -> bool:
    (result,) = await infer(triton.grpc_url, "identity", picture())
    return np.array_equal(result, picture()) if isinstance(result, np.ndarray) else False


async def test_from_start_to_stop(settings: LocalTritonSettings) -> None:
    triton = LocalTriton(settings)
    assert (triton.state, triton.pid, triton.stubs) == (TritonState.STOPPED, None, {})
    async with triton:
        assert triton.state is TritonState.READY
        assert [(model.name, model.version, model.is_ready) for model in await triton.models()] == [("identity", "1", True)]
        assert sorted(triton.stubs.values()) == ["identity_0_0", "identity_0_1"]
        assert json.loads(settings.endpoints.read_text())["grpc"] == triton.grpc_url
        assert await serves(triton)
        prefix, processes = triton.shm_prefix, [psutil.Process(pid) for pid in (triton.pid or 0, *triton.stubs)]
        assert len(regions(prefix)) == 3  # the lock, and a region for each stub
    assert triton.state is TritonState.STOPPED
    assert regions(prefix) == []
    assert not any(process.is_running() for process in processes)
    assert not settings.endpoints.exists()
    await triton.stop()
    async with triton:
        assert await serves(triton)


async def test_models_that_do_not_load_are_named_with_their_cause(settings: LocalTritonSettings, tmp_path: Path) -> None:
    write_model(tmp_path / "broken", "not_onnx", None)
    folder = write_model(tmp_path / "broken", "raises", inverting())
    (folder / "config.pbtxt").write_text((SUPPORT / "identity/config.pbtxt").read_text().replace("identity", "raises"))
    (folder / "1" / "model.py").write_text("raise ValueError('weights of last year')")
    assemble([SUPPORT, tmp_path / "broken"], settings.repository)
    triton = LocalTriton(settings)

    with pytest.raises(ModelLoadError) as caught:
        await triton.start()

    told = str(caught.value)
    assert "model 'not_onnx' did not load: " in told
    assert "INVALID_PROTOBUF" in told
    assert "model 'raises' did not load: " in told
    assert "ValueError: weights of last year" in told
    assert "model 'identity'" not in told
    assert str(settings.log) in told
    assert (triton.state, triton.pid) == (TritonState.STOPPED, None)


async def test_a_tritonserver_that_cannot_start_tells_why(settings: LocalTritonSettings, tmp_path: Path) -> None:
    with pytest.raises(LocalTritonError, match="there is no model in"):
        await LocalTriton(LocalTritonSettings(tmp_path, tmp_path / "state")).start()
    async with LocalTriton(settings) as triton:
        port = int(triton.grpc_url.split(":")[1])
        with pytest.raises(LocalTritonError, match=r"ended with status 1\n(.|\n)*already in use"):
            await LocalTriton(LocalTritonSettings(settings.repository, settings.state_dir, grpc_port=port)).start()
        assert await serves(triton)


async def test_a_model_is_added_and_replaced_while_tritonserver_runs(settings: LocalTritonSettings, tmp_path: Path) -> None:
    async with LocalTriton(settings) as triton:
        folder = write_model(tmp_path / "import", "added", inverting())
        assemble([SUPPORT, tmp_path / "import"], settings.repository)
        await triton.load("added")
        (result,) = await infer(triton.grpc_url, "added", picture())
        np.testing.assert_array_equal(result, 255 - picture())
        assert "added_0_0" in triton.stubs.values()

        (folder / "1" / "model.onnx").write_bytes(b"not ONNX")
        assemble([SUPPORT, tmp_path / "import"], settings.repository)
        with pytest.raises(ModelLoadError, match=r"model 'added' did not load: (.|\n)*INVALID_PROTOBUF"):
            await triton.load("added")
        (result,) = await infer(triton.grpc_url, "added", picture())
        np.testing.assert_array_equal(result, 255 - picture())
        assert triton.reloads == 0


async def test_a_killed_tritonserver_is_started_again_at_the_same_addresses(settings: LocalTritonSettings) -> None:
    async with LocalTriton(settings) as triton:
        addresses = triton.grpc_url, triton.http_url, triton.metrics_url
        first = triton.pid or 0
        orphans = [psutil.Process(pid) for pid in triton.stubs]
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: triton.restarts == 1)
        assert triton.state is TritonState.READY
        assert triton.pid != first
        assert (triton.grpc_url, triton.http_url, triton.metrics_url) == addresses
        assert not any(process.is_running() for process in orphans)
        assert len(regions(triton.shm_prefix)) == 3
        assert await serves(triton)


async def test_a_killed_stub_is_replaced_and_others_serve_meanwhile(settings: LocalTritonSettings) -> None:
    async with LocalTriton(settings) as triton:
        pid, instance = min(triton.stubs.items())
        os.kill(pid, signal.SIGKILL)
        answers = await infer(triton.grpc_url, "identity", *[picture()] * 8)
        failures = [answer for answer in answers if isinstance(answer, InferenceServerException)]
        # This is what a client has to know again as a fault that another try can mend.
        assert {(failure.status(), failure.message()) for failure in failures} <= {
            ("StatusCode.INTERNAL", f"Stub process '{instance}' is not healthy."),
        }
        assert sum(isinstance(answer, np.ndarray) for answer in answers) >= 1

        await eventually(lambda: triton.reloads == 1)
        assert triton.restarts == 0
        assert sorted(triton.stubs.values()) == ["identity_0_0", "identity_0_1"]
        assert pid not in triton.stubs
        answers = await infer(triton.grpc_url, "identity", *[picture()] * 8)
        np.testing.assert_array_equal(answers, [picture()] * 8)


@pytest.mark.parametrize("victim", ["owner", "watcher and owner"])
async def test_nothing_is_left_when_the_owner_is_killed(settings: LocalTritonSettings, victim: str) -> None:
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OWNER, settings.repository, settings.state_dir), stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    prefix = (await owner.stdout.readline()).decode().strip()
    family = psutil.Process(owner.pid).children(recursive=True)
    names = sorted(process.name()[:15] for process in family)
    assert names[-3:] == ["triton_python_b", "triton_python_b", "tritonserver"]
    assert f"{prefix}client-1" in regions(prefix)

    if victim != "owner":
        next(process for process in family if process.ppid() == owner.pid).kill()
    owner.kill()
    await owner.wait()

    _, alive = await asyncio.to_thread(psutil.wait_procs, family, timeout=10)
    assert alive == []
    if victim != "owner":
        # Whoever starts next sweeps for the watcher that could not.
        async with LocalTriton(settings):
            pass
    assert regions(prefix) == []


async def test_stopping_while_it_starts_leaves_nothing(settings: LocalTritonSettings) -> None:
    triton = LocalTriton(settings)
    starting = asyncio.create_task(triton.start())
    await eventually(lambda: bool(triton.pid))
    process = psutil.Process(triton.pid)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert triton.state is TritonState.STOPPED
    assert not process.is_running()
