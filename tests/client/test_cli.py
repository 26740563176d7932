"""The command: what it prints, what it writes, how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from retouch import Gate, PlannedModel
from retouch.cli.exits import MEANINGS
from retouch.cli.root import root
from retouch.cli.tables import gate_line
from retouch.testing import Code, FakeServer, Fault
from retouch.v1 import plan_pb2
from tests.client.served import served_in_thread


@pytest.fixture
def served() -> Iterator[FakeServer]:
    with served_in_thread() as fake:
        yield fake


@pytest.fixture
def picture(tmp_path: Path, rng: np.random.Generator) -> Path:
    path = tmp_path / "in.png"
    Image.fromarray(rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    path = tmp_path / "mask.png"
    array = np.zeros((300, 400), np.uint8)
    array[10:50] = 255
    Image.fromarray(array).save(path)
    return path


def run(fake: FakeServer | None, *arguments: object) -> Result:
    server = fake.target if fake else "127.0.0.1:1"
    return CliRunner().invoke(root, ["--server", server, *map(str, arguments)])


def commands(group: click.Command, *names: str) -> Iterator[tuple[str, ...]]:
    yield names
    if isinstance(group, click.Group):
        for name, command in group.commands.items():
            yield from commands(command, *names, name)


@pytest.mark.parametrize("names", list(commands(root)), ids=" ".join)
def test_every_command_has_help_with_an_example(names: tuple[str, ...]) -> None:
    result = run(None, *names, "--help")
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert "retouch " + " ".join(names) in result.stdout.split("Example")[1]


def test_the_help_says_what_the_exit_codes_mean() -> None:
    lines = [line.strip() for line in run(None, "--help").stdout.splitlines()]
    for code, meaning in MEANINGS.items():
        assert f"{code:<3} {meaning}".split() in [line.split() for line in lines]


def test_edit_writes_the_result_and_says_so(served: FakeServer, picture: Path, mask: Path, tmp_path: Path) -> None:
    served.warnings = ["the model takes no [prompt]"]
    result = run(served, "edit", picture, "--mask", mask, "-o", tmp_path / "out.png", "--scale", 2, "--seed", 7)
    assert result.exit_code == 0, result.output
    assert "600x800 px" in result.stdout
    assert "gate: upscale_conservative_x2 v1 by the built-in policy, the fake has no other" in result.stdout
    assert "warning: the model takes no [prompt]" in result.stderr
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == (800, 600)
    assert served.opened[0].options.seed == 7


def test_global_options_may_stand_behind_the_command(served: FakeServer, picture: Path, tmp_path: Path) -> None:
    before = json.loads(run(served, "--json", "models", "list").stdout)
    assert json.loads(run(served, "models", "list", "--json").stdout) == before
    behind = run(None, "edit", picture, "-o", tmp_path / "out.png", "--json", "--server", served.target)
    assert json.loads(behind.stdout)["report"]["warnings"] == []


def test_the_line_of_the_gate_tells_the_table_and_what_took_over() -> None:
    model = PlannedModel("upscale_creative_x2", "1", "")
    gate = Gate("low", "", model, "creative", ("*",), "0123456789abcdef", "so it is", 3, PlannedModel("bicubic", "", ""))
    assert gate_line(gate) == ("gate: upscale_creative_x2 v1 by policy 0123456789ab, so it is: 3 windows fell back to bicubic")


def test_edit_in_json_is_one_document(served: FakeServer, picture: Path, tmp_path: Path) -> None:
    served.warnings = ["careful"]
    result = run(served, "--json", "edit", picture, "-o", tmp_path / "out.png")
    document = json.loads(result.stdout)
    assert document["out"] == str(tmp_path / "out.png")
    assert document["size"] == {"height": 300, "width": 400}
    assert document["report"]["warnings"] == ["careful"]
    assert document["report"]["stages"][0]["stage"] == "upscale"
    assert result.stderr == ""


def test_edit_takes_a_stored_mask(served: FakeServer, picture: Path, mask: Path, tmp_path: Path) -> None:
    assert run(served, "mask", "put", "shot-17", mask).exit_code == 0
    out = tmp_path / "out.png"
    assert run(served, "edit", picture, "-o", out, "--mask-id", "shot-17", "--mask-version", 1).exit_code == 0
    stale = run(served, "edit", picture, "-o", out, "--mask-id", "shot-17", "--mask-version", 9)
    assert stale.exit_code == 4
    assert "retouch mask get" in stale.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "{in}"], "is the input"),
        (["-o", "out.png", "--mask", "{mask}", "--mask-id", "a"], "exclude each other"),
        (["-o", "out.png", "--mask-id", "a"], "--mask-version"),
        (["-o", "out.png", "--mask-version", "1"], "--mask-id"),
        (["-o", "out.png", "--scale", "3"], "3"),
        (["-o", "out.png", "--prompt", "x" * 1001], "1000"),
        ([], "--out"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], words: str, picture: Path, mask: Path) -> None:
    filled = [each.replace("{in}", str(picture)).replace("{mask}", str(mask)) for each in arguments]
    result = run(None, "edit", picture, *filled)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("arguments", [["edit", "absent.png"], ["nothing"], ["--tls-cert", __file__, "models", "list"]])
def test_wrong_usage_is_told_in_json_too(arguments: list[str]) -> None:
    for given in (["--json", *arguments], [*arguments, "--json"]):
        result = run(None, *given)
        assert result.exit_code == 2
        error = json.loads(result.stdout)["error"]
        assert error["exit_code"] == 2
        assert error["message"] in result.stderr


@pytest.mark.parametrize(
    ("fault", "exit_code", "words"),
    [
        (
            Fault(Code.INVALID_ARGUMENT, "BAD_FIELD", "mask: wrong", field_violations=(("mask", "wrong"),)),
            3,
            "field: mask: wrong",
        ),
        (Fault(Code.PERMISSION_DENIED, "UPSCALER_NOT_ALLOWED"), 4, "--criticality"),
        (Fault(Code.UNAUTHENTICATED, "BAD_TOKEN"), 4, "RETOUCH_TOKEN"),
        (Fault(Code.FAILED_PRECONDITION, "MODEL_NOT_SERVED"), 4, "retouch models list"),
        (Fault(Code.DEADLINE_EXCEEDED, "DEADLINE_TOO_SHORT"), 6, "--timeout"),
        (Fault(Code.INTERNAL, "INTERNAL", metadata={"edit_id": "e-77"}), 1, "e-77"),
    ],
)
def test_refusals_say_what_to_do_and_have_their_exit_code(
    fault: Fault, exit_code: int, words: str, served: FakeServer, picture: Path, tmp_path: Path
) -> None:
    served.script(fault, fault)
    plain = run(served, "edit", picture, "-o", tmp_path / "out.png")
    assert plain.exit_code == exit_code
    assert words in plain.stderr
    assert plain.stdout == ""
    machine = run(served, "--json", "edit", picture, "-o", tmp_path / "out.png")
    assert machine.exit_code == exit_code
    document = json.loads(machine.stdout)["error"]
    assert (document["exit_code"], document["reason"]) == (exit_code, fault.reason)
    assert not (tmp_path / "out.png").exists()


def test_a_server_that_stays_busy_is_exit_code_5(served: FakeServer, picture: Path, tmp_path: Path) -> None:
    served.script(*[Fault(Code.RESOURCE_EXHAUSTED, "OVERLOADED", retry_after_s=0.001)] * 4)
    assert run(served, "edit", picture, "-o", tmp_path / "out.png").exit_code == 5


def test_nobody_there_is_exit_code_5_and_names_the_address() -> None:
    result = run(None, "models", "list")
    assert result.exit_code == 5
    assert "cannot reach 127.0.0.1:1" in result.stderr
    assert "retouch doctor" in result.stderr


def test_a_file_that_is_no_image_is_exit_code_3(served: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "junk.png").write_bytes(b"junk")
    assert run(served, "edit", tmp_path / "junk.png", "-o", tmp_path / "out.png").exit_code == 3


def test_precheck_tells_findings_plan_and_estimate(served: FakeServer, picture: Path, mask: Path, tmp_path: Path) -> None:
    region = plan_pb2.Region(area_px=1600, text_score=0.9, route=plan_pb2.ROUTE_TEXT_REMOVAL)
    region.bounds.height, region.bounds.width = 40, 400
    served.findings = plan_pb2.Findings(needs_text_removal=True, text_score=0.9, regions=[region])
    result = run(served, "precheck", picture, "--mask", mask, "--scale", 2)
    assert result.exit_code == 0, result.output
    for words in ("needs text removal: yes (score 0.90)", "rows [0, 40)", "text removal", "skipped", "about 0.3 s"):
        assert words in result.stdout
    drawn = tmp_path / "judged.png"
    document = json.loads(run(served, "--json", "precheck", picture, "--mask", mask, "--picture", drawn).stdout)
    with Image.open(drawn) as shown:
        assert shown.size == (400, 300)
    assert document["findings"]["regions"][0]["route"] == "text_removal"
    assert document["estimate"]["total_s"] == 0.3


def test_masks_are_put_listed_fetched_and_suggested(served: FakeServer, picture: Path, mask: Path, tmp_path: Path) -> None:
    out = tmp_path / "fetched.png"
    assert "version 1" in run(served, "mask", "put", "shot-17", mask).stdout
    assert run(served, "mask", "put", "shot-17", picture).exit_code == 4
    assert json.loads(run(served, "--json", "mask", "list", "shot-17").stdout)[0]["version"] == 1
    assert "has no mask" in run(served, "mask", "list", "other").stdout
    assert run(served, "mask", "get", "shot-17", "-o", out).exit_code == 0
    with Image.open(out) as fetched, Image.open(mask) as original:
        np.testing.assert_array_equal(np.asarray(fetched), np.asarray(original))
    assert run(served, "mask", "get", "shot-17", "--version", 5, "-o", out).exit_code == 4
    suggested = run(served, "mask", "suggest", picture, "-o", tmp_path / "suggested.png")
    assert "1 place with text" in suggested.stdout
    with Image.open(tmp_path / "suggested.png") as image:
        assert (image.size, image.mode) == ((400, 300), "L")
    assert run(served, "mask", "suggest", picture, "-o", tmp_path / "suggested.jpg").exit_code == 2
    assert run(served, "mask", "get", "shot-17", "-o", tmp_path / "absent" / "mask.png").exit_code == 3


def test_models_are_listed(served: FakeServer) -> None:
    assert "upscale_conservative_x2" in run(served, "models", "list").stdout
    assert json.loads(run(served, "--json", "models", "list").stdout)[0]["name"] == "inpaint_patch"


def test_server_and_token_come_from_the_environment(served: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETOUCH_SERVER", served.target)
    monkeypatch.setenv("RETOUCH_TOKEN", "s3cret")
    assert CliRunner().invoke(root, ["models", "list"]).exit_code == 0
    assert served.tokens == ["Bearer s3cret"]


def test_half_of_a_key_pair_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").touch()
    assert run(None, "--tls-cert", tmp_path / "cert.pem", "models", "list").exit_code == 2


@pytest.mark.parametrize("command", ["up", "doctor"])
def test_without_the_server_package_it_says_what_to_install(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "retouch_server", None)
    for name in ("retouch_server.local", f"retouch_server.local.{command}"):
        monkeypatch.setitem(sys.modules, name, None)
    result = run(None, command)
    assert result.exit_code == 4
    assert "pip install retouch-server" in result.stderr


def test_up_runs_the_server_and_prints_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, Any] = {}

    def fake_run(**options: Any) -> int:
        asked.update(options)
        options["on_ready"]({"gRPC": "127.0.0.1:8300", "metrics": "http://127.0.0.1:8301/metrics"})
        return 0

    _stand_in(monkeypatch, "up", run=fake_run)
    result = run(None, "up", "--port", 8300, "--state-dir", tmp_path / "var", "--model-repository", tmp_path)
    assert result.exit_code == 0, result.output
    assert "http://127.0.0.1:8301/metrics" in result.stdout
    assert (asked["port"], asked["state_dir"], asked["model_repositories"]) == (8300, tmp_path / "var", [tmp_path])


def test_doctor_lists_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [
        types.SimpleNamespace(name="python", ok=True, detail="3.11", remedy=""),
        types.SimpleNamespace(name="libpython", ok=False, detail="not found", remedy="apt install libpython3.11"),
    ]
    _stand_in(monkeypatch, "doctor", checks=lambda: checks)
    result = run(None, "doctor")
    assert result.exit_code == 1
    assert "apt install libpython3.11" in result.stdout
    assert json.loads(run(None, "--json", "doctor").stdout)["checks"][1]["remedy"] == "apt install libpython3.11"


def test_interrupted_is_130_and_leaves_nothing(served: FakeServer, picture: Path, tmp_path: Path) -> None:
    served.is_stalled = True
    command = [sys.executable, "-m", "retouch.cli", "--server", served.target]
    process = subprocess.Popen([*command, "edit", str(picture), "-o", str(tmp_path / "out.png")], stderr=subprocess.PIPE)
    assert process.stderr
    while not served.opened:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130, stderr
    assert stderr == b"interrupted; nothing was written\n"
    assert os.listdir(tmp_path) == ["in.png"]


def test_told_to_end_it_ends_with_143_and_leaves_nothing(served: FakeServer, picture: Path, tmp_path: Path) -> None:
    served.script(Fault(Code.UNAVAILABLE, after_tiles=0, retry_after_s=60))  # accepted, so that the result was begun
    command = [sys.executable, "-m", "retouch.cli", "--server", served.target]
    process = subprocess.Popen([*command, "edit", str(picture), "-o", str(tmp_path / "out.png")], stderr=subprocess.PIPE)
    while len(os.listdir(tmp_path)) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate()
    assert process.returncode == 143, stderr
    assert stderr == b"told to end; nothing was written\n"
    assert os.listdir(tmp_path) == ["in.png"]


def _stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> None:
    module = types.ModuleType(f"retouch_server.local.{name}")
    for member, value in members.items():
        setattr(module, member, value)
    monkeypatch.setitem(sys.modules, f"retouch_server.local.{name}", module)
