"""Assembling a servable repository from sources."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from retouch_server.local import repository
from retouch_server.local.repository import RepositoryError, assemble, default_source, read_source, sha256_of
from retouch_server.local.runtime import file_in_wheel

DETECTOR = "models/PP-OCRv6_det_small.onnx"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    write(source, "alpha", {"1/model.py": b"print(1)", "1/weights/w.bin": b"\0" * 9})
    write(source, "beta", {"1/model.py": b"print(2)", "3/model.py": b"print(3)"})
    (source / "README.md").write_text("not a model")
    (source / "_shared").mkdir()
    return source


def write(source: Path, name: str, files: dict[str, bytes], config: str = "") -> Path:
    folder = source / name
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    (folder / "config.pbtxt").write_text(config or f'name: "{name}"\nbackend: "python"\n')
    return folder


def digest_in(folder: Path) -> str:
    (digest,) = re.findall(r'key: "retouch.digest" value { string_value: "([0-9a-f]{64})"', config_of(folder))
    return digest


def config_of(folder: Path) -> str:
    return (folder / "config.pbtxt").read_text()


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_model_arrives_whole_with_its_digest(source: Path, tmp_path: Path) -> None:
    assemble([source], tmp_path / "target")

    target = files_in(tmp_path / "target")
    assert sorted(target) == [
        *("alpha/1/model.py", "alpha/1/weights/w.bin", "alpha/config.pbtxt"),
        *("beta/1/model.py", "beta/3/model.py", "beta/config.pbtxt"),
    ]
    assert target["alpha/config.pbtxt"].startswith((source / "alpha" / "config.pbtxt").read_bytes().rstrip())
    assert [model.digest for model in read_source(source)] == [
        digest_in(tmp_path / "target" / name) for name in ("alpha", "beta")
    ]


def test_the_digest_depends_on_names_contents_and_configuration_alone(source: Path, tmp_path: Path) -> None:
    def digest(name: str = "alpha") -> str:
        return next(model.digest for model in read_source(source) if model.name == name)

    seen = [digest()]
    (source / "alpha" / "1" / "__pycache__").mkdir()
    (source / "alpha" / "1" / "__pycache__" / "model.pyc").write_bytes(b"?")
    (source / "alpha" / "README.md").write_text("about alpha")
    (source / "alpha" / "1" / "model.py").touch()
    assert digest() == seen[0]

    (source / "alpha" / "1" / "model.py").write_bytes(b"print(9)")
    seen.append(digest())
    (source / "alpha" / "1" / "model.py").rename(source / "alpha" / "1" / "other.py")
    seen.append(digest())
    (source / "alpha" / "config.pbtxt").write_text('name: "alpha"\n')
    seen.append(digest())
    assert len(set(seen)) == len(seen)


def test_assembling_again_touches_only_what_changed(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    write(target, "of_a_user", {"1/model.py": b""})
    assemble([source], target)
    before = {name: (target / name / "1" / "model.py").stat().st_ino for name in ("alpha", "beta")}

    (source / "beta" / "1" / "model.py").write_bytes(b"print(22)")
    assemble([source], target)
    after = {name: (target / name / "1" / "model.py").stat().st_ino for name in ("alpha", "beta")}
    assert before["alpha"] == after["alpha"]
    assert (target / "beta" / "1" / "model.py").read_bytes() == b"print(22)"

    for path in sorted((source / "alpha").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (source / "alpha").rmdir()
    assemble([source], target)
    assert sorted(path.name for path in target.iterdir()) == ["beta", "of_a_user"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


def test_a_file_comes_out_of_an_installed_wheel(source: Path, tmp_path: Path) -> None:
    detector = file_in_wheel("rapidocr", DETECTOR)
    line = f"rapidocr {DETECTOR} {sha256_of(detector)}\n"
    write(source, "detect", {"1/model.onnx.from-wheel": line.encode()})

    assemble([source], tmp_path / "target")

    assert sorted(files_in(tmp_path / "target" / "detect")) == ["1/model.onnx", "config.pbtxt"]
    assert sha256_of(tmp_path / "target" / "detect" / "1" / "model.onnx") == sha256_of(detector)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (f"rapidocr {DETECTOR} {hashlib.sha256(b'another').hexdigest()}", "has sha256 .*requirements/no-deps.txt"),
        (f"rapidocr models/none.onnx {'0' * 64}", "the installed rapidocr has no models/none.onnx: `pip install --no-deps"),
        (f"no_such_wheel models/a.onnx {'0' * 64}", "wheel no_such_wheel is not installed: `pip install --no-deps"),
        ("rapidocr", "expected one line, PACKAGE PATH SHA256"),
    ],
)
def test_a_wheel_that_will_not_do_is_refused_and_nothing_is_written(source: Path, tmp_path: Path, line: str, told: str) -> None:
    write(source, "detect", {"1/model.onnx.from-wheel": line.encode()})
    with pytest.raises(RepositoryError, match=told) as caught:
        assemble([source], tmp_path / "target")
    assert "detect/1/model.onnx.from-wheel" in str(caught.value)
    assert not (tmp_path / "target").exists()


def test_faulty_sources_are_named(source: Path, tmp_path: Path) -> None:
    def told(*sources: Path) -> str:
        with pytest.raises(RepositoryError) as caught:
            assemble(sources, tmp_path / "target")
        return str(caught.value)

    assert told(tmp_path / "nowhere") == f"there is no model repository at {tmp_path / 'nowhere'}"
    assert "'alpha' is in more than one source" in told(source, source)
    (source / "gamma").mkdir()
    assert "gamma has no config.pbtxt" in told(source)
    write(source, "gamma", {})
    assert "gamma has no version with a file in it" in told(source)
    write(source, "gamma", {"1/model.py": b""}, 'parameters { key: "retouch.digest" }')
    assert "sets retouch.digest" in told(source)


def test_the_command_line_prints_what_is_served(source: Path, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "retouch_server.local.repository", tmp_path / "target", source],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "".join(f"{model.name}\t{model.digest}\n" for model in read_source(source))
    assert repository.main([str(tmp_path / "target"), str(tmp_path / "nowhere")]) == 1
    assert repository.main([]) == 2


def test_the_products_own_repository_can_be_read() -> None:
    assert (default_source() / "../pyproject.toml").is_file()
