"""What the local runtime finds on the machine, and what it leaves on it: doctor, the stub's libraries, /dev/shm."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from retouch_server.local import doctor, runtime
from retouch_server.local.runtime import MissingError, locate_triton
from retouch_server.local.shm import FOLDER, ShmOwner, sweep


def test_a_machine_that_serves_passes_every_check() -> None:
    found = doctor.checks()
    assert {check.name: check.detail for check in found if not check.ok} == {}
    assert all(check.detail and not check.remedy for check in found)


def test_what_is_missing_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "PYTHON", "3.99")
    found = {check.name: check for check in doctor.checks([tmp_path / "nowhere"])}
    assert "no python backend for Python 3.99" in found["tritonserver"].remedy
    assert f"no model repository at {tmp_path / 'nowhere'}" in found["model repository"].remedy
    assert found["python"].ok


def test_an_interpreter_without_libpython_is_told_which_package_has_it(tmp_path: Path) -> None:
    library = f"libpython3.{sys.version_info.minor}.so.1.0".encode()
    files = locate_triton()
    original = files.stub.read_bytes()
    if any(files.libraries.glob(f"libpython3*.{sys.version_info.minor}.so*")):
        pytest.skip("the stub for this interpreter brings a libpython of its own, as the one for 3.13 does")
    stub = tmp_path / "stub"
    stub.write_bytes(original.replace(library, library.replace(b".so.1.0", b".so.9.9")))
    stub.chmod(0o755)
    with pytest.raises(MissingError, match=rf"so\.9\.9: cannot open.*apt-get install libpython3\.{sys.version_info.minor}"):
        replace(locate_triton(), stub=stub).check_stub()


def test_a_sweep_spares_whoever_lives() -> None:
    living, gone = ShmOwner(), ShmOwner()
    try:
        for owner in (living, gone):
            (FOLDER / f"{owner.prefix}1-region").write_bytes(b"pixels")
        # What the kernel does for a process that ends, in whatever way.
        os.close(gone._descriptor)
        swept = sweep()
        assert gone.prefix in swept
        assert living.prefix not in swept
        assert [path.name for path in FOLDER.glob(f"{living.prefix}*")] == [f"{living.prefix}1-region"]
        assert list(FOLDER.glob(f"{gone.prefix.removesuffix('-')}*")) == []
    finally:
        living.release()
    assert list(FOLDER.glob(f"{living.prefix.removesuffix('-')}*")) == []
