"""The way to the service: targets, TLS, mutual TLS, and statuses that are not lost on it."""

import shutil
import subprocess
from pathlib import Path

import grpc
import numpy as np
import pytest

from retouch import InvalidInputError, OverloadedError, RetouchClient, Retry, Tls, UnavailableError, VersionConflictError
from retouch.testing import Code, FakeServer, Fault
from retouch.transport import CHANNEL_OPTIONS, resolved_target

IMAGE = np.arange(300 * 400 * 3, dtype=np.uint32).reshape(300, 400, 3).astype(np.uint8)


@pytest.mark.parametrize("target", ["dns:///a:1", "unix:/run/a", "ipv4:1.2.3.4:5", "xds:///a"])
def test_targets_with_a_scheme_stay(target: str) -> None:
    assert resolved_target(target) == target


def test_the_limits_on_messages_are_grpcs_own() -> None:
    assert not any("message_length" in name for name, _ in CHANNEL_OPTIONS)


async def test_a_refusal_while_pixels_are_on_their_way_keeps_its_reason(fake: FakeServer) -> None:
    """grpc/grpc#36066: a write that fails because the call was refused used to overwrite the refusal with INTERNAL."""
    async with RetouchClient(fake.target, retry=Retry(attempts=1)) as client:
        await client.masks.put("a", IMAGE[:, :, 0])
        for _ in range(60):
            fake.script(Fault(Code.RESOURCE_EXHAUSTED, "OVERLOADED"))
            with pytest.raises(OverloadedError):
                await client.edit_image(IMAGE)
            with pytest.raises(VersionConflictError):
                await client.masks.put("a", IMAGE[:, :, 1])


async def test_rows_too_large_for_a_message_come_in_pieces(client: RetouchClient) -> None:
    image = np.tile(np.arange(65535, dtype=np.uint32).astype(np.uint8)[None, :, None], (2, 1, 4))
    result = await client.edit_image(image, scale=4)
    np.testing.assert_array_equal(result, image.repeat(4, 0).repeat(4, 1))


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    """ca.pem, and server and client certificates that it signed."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca")
    (tmp_path / "names").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("server", "client"):
        openssl("req", *key[:-2], "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"]
        openssl("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem")
    return tmp_path


async def test_tls_and_mutual_tls(pki: Path) -> None:
    pair = [((pki / "server.key").read_bytes(), (pki / "server.pem").read_bytes())]
    credentials = grpc.ssl_server_credentials(pair, (pki / "ca.pem").read_bytes(), require_client_auth=True)
    mutual = Tls(ca=pki / "ca.pem", certificate=pki / "client.pem", key=pki / "client.key")
    once = Retry(attempts=1)
    async with FakeServer(credentials) as fake:
        async with RetouchClient(fake.target, tls=mutual, retry=once) as client:
            np.testing.assert_array_equal(await client.edit_image(IMAGE), IMAGE)
        for wrong in (None, Tls(ca=pki / "ca.pem")):
            async with RetouchClient(fake.target, tls=wrong, retry=once) as client:
                with pytest.raises(UnavailableError):
                    await client.models(timeout_s=5)


def test_wrong_tls_files_are_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="missing"):
        Tls(certificate=tmp_path / "cert.pem").credentials()
    with pytest.raises(InvalidInputError, match=r"absent\.pem"):
        Tls(ca=tmp_path / "absent.pem").credentials()
