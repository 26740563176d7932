"""What stands in two places must agree: the table of errors, the stubs, the examples in docstrings and in the README."""

import doctest
import importlib
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from inspect import getmembers, isclass
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

import retouch
import retouch_server
from retouch_server import errors
from retouch_server.rpc.status import DOMAIN, TABLE, UNKNOWN, to_status

ROOT = Path(__file__).parents[2]
PROTOS = sorted((ROOT / "protos").glob("retouch/v1/*.proto"))
NOT_OF_AN_EDIT = {errors.VersionConflict}  # MaskService.PutMask only


def leaves(error: type) -> Iterator[type]:
    below = error.__subclasses__()
    if not below:
        yield error
    for each in below:
        yield from leaves(each)


def test_every_error_has_a_row_and_every_row_an_error() -> None:
    assert set(leaves(errors.RetouchError)) == set(TABLE)


def test_reasons_are_unique() -> None:
    reasons = [row.reason for row in [*TABLE.values(), UNKNOWN]]
    assert len(set(reasons)) == len(reasons)


def documented() -> dict[str, tuple[str, str]]:
    """Reason → (code, details), from the comment on EditService.Edit."""
    text = (ROOT / "protos/retouch/v1/edit_service.proto").read_text()
    rows = re.findall(r"// \| ([A-Z_]+) +\| ([A-Z_]+) +\| (\w*) +\|", text)
    return {reason: (code, details) for code, reason, details in rows}


def test_the_comment_on_edit_is_the_table() -> None:
    rows = [*(row for error, row in TABLE.items() if error not in NOT_OF_AN_EDIT), UNKNOWN]
    assert {reason: code for reason, (code, _) in documented().items()} == {row.reason: row.code.name for row in rows}


def example(error: type[errors.RetouchError]) -> errors.RetouchError:
    """An instance of an error."""
    made: dict[type[errors.RetouchError], errors.RetouchError] = {
        errors.BadField: errors.BadField("size.height", "0 px is out of range"),
        errors.BadSequence: errors.BadSequence("open", "came twice"),
        errors.UpscalerNotAllowed: errors.UpscalerNotAllowed("dream", "commerce", "no"),
        errors.MaskNotFound: errors.MaskNotFound("i", 3),
        errors.StaleMask: errors.StaleMask("i", named_version=1, named_digest="", current_version=2, current_digest="d"),
        errors.VersionConflict: errors.VersionConflict("i", expected_version=1, current_version=2),
        errors.ModelNotServed: errors.ModelNotServed("patch", ["classical"]),
        errors.DeadlineTooShort: errors.DeadlineTooShort(1.0, 2.0),
        errors.ModelFault: errors.ModelFault("m", "wrong"),
    }
    if error in made:
        return made[error]
    return error("passing", 1.5) if issubclass(error, errors.RetryLater) else error("said")


@pytest.mark.parametrize("error", TABLE, ids=lambda error: error.__name__)
def test_an_error_is_told_as_its_row_says(error: type[errors.RetouchError]) -> None:
    row, instance = TABLE[error], example(error)
    status = to_status(instance, edit_id="e1")
    assert status.code is row.code
    assert status.details == str(instance)
    told = status_pb2.Status.FromString(dict(status.trailing_metadata)["grpc-status-details-bin"])
    names = [detail.TypeName().rsplit(".")[-1] for detail in told.details]
    assert names[0] == "ErrorInfo"
    info = error_details_pb2.ErrorInfo.FromString(told.details[0].value)
    assert (info.domain, info.reason, info.metadata["edit_id"]) == (DOMAIN, row.reason, "e1")
    wanted = documented()[row.reason][1] if error not in NOT_OF_AN_EDIT else ""
    assert names[1:] == ([wanted] if wanted else [])


def test_what_is_not_ours_tells_nothing() -> None:
    status = to_status(KeyError("/etc/secret"), edit_id="e1")
    assert status.code is grpc.StatusCode.INTERNAL
    assert "secret" not in status.details


def test_no_fault_of_ours_is_the_callers() -> None:
    ours = {errors.ModelFault, errors.ModelUnavailable, errors.Draining, errors.Overloaded}
    assert all(TABLE[error].code is not grpc.StatusCode.INVALID_ARGUMENT for error in ours)


@pytest.mark.parametrize("error", TABLE, ids=lambda error: error.__name__)
def test_the_tree_in_the_docstring_is_the_tree(error: type[errors.RetouchError]) -> None:
    assert re.search(rf"── {error.__name__}\b", errors.__doc__ or "")


def test_nothing_else_stands_in_the_tree_of_errors() -> None:
    drawn = set(re.findall(r"── (\w+)", errors.__doc__ or ""))
    public = {name for name, each in getmembers(errors, isclass) if issubclass(each, errors.RetouchError)}
    assert drawn <= public


def test_the_generated_stubs_are_fresh(tmp_path: Path) -> None:
    """The commands of `make protos`, into another folder."""
    names = [str(path.relative_to(ROOT / "protos")) for path in PROTOS]
    protoc = [sys.executable, "-m", "grpc_tools.protoc", "-I", "protos"]
    beside = Path(sys.executable).parent

    def plugin(name: str) -> str:
        found = shutil.which(name, path=str(beside)) or shutil.which(name)
        assert found, f"{name} is missing; run `make setup`"
        return f"--plugin={name}={found}"

    messages = [plugin("protoc-gen-mypy"), f"--python_out={tmp_path}", f"--mypy_out=quiet:{tmp_path}", *names]
    services = [plugin("protoc-gen-mypy_grpc"), f"--grpc_python_out={tmp_path}", f"--mypy_grpc_out=quiet:{tmp_path}"]
    services += [name for name in names if name.endswith("_service.proto")]
    for arguments in (messages, services):
        subprocess.run([*protoc, *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    made = {path.name: path.read_bytes() for path in (tmp_path / "retouch/v1").iterdir()}
    kept_in = ROOT / "clients/python/retouch/v1"
    kept = {path.name: path.read_bytes() for path in kept_in.glob("*_pb2*")}
    assert kept.keys() == made.keys()
    assert [name for name in made if made[name] != kept[name]] == [], "run `make protos`"


def modules_with_examples() -> list[str]:
    names: list[str] = []
    for package in (retouch_server, retouch):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            path = Path(package.__path__[0], *module.name.split(".")[1:])
            source = path / "__init__.py" if module.ispkg else path.with_suffix(".py")
            if ">>> " in source.read_text():
                names.append(module.name)
    return names


@pytest.mark.parametrize("module", modules_with_examples())
def test_the_examples_in_docstrings_run(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert result.attempted
    assert not result.failed


def python_blocks() -> list[tuple[str, str]]:
    """The python blocks of the READMEs."""
    blocks: list[tuple[str, str]] = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]:
        if page.exists():
            found = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
            blocks += [(f"{page.relative_to(ROOT)} block {number}", block) for number, block in enumerate(found, start=1)]
    return blocks


@pytest.mark.parametrize("block", [block for _, block in python_blocks()], ids=[name for name, _ in python_blocks()])
def test_the_python_in_the_pages_compiles(block: str) -> None:
    """Running them needs a service: tests/e2e does."""
    flags = compile("", "", "exec").co_flags | 0x2000  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    compile(block, "README", "exec", flags=flags)
