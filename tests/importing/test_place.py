"""A model takes another one's place in one piece, whoever is killed and however many try at once. Needs no torch."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from retouch_server.importing.place import place, staging
from retouch_server.importing.source import ModelImportError
from retouch_server.local import exchange
from tests.importing import replacing
from tests.importing.replacing import NAME, placed, replace

ROOT = Path(__file__).parents[2]


def writer(repository: Path, first: int, step: int = 1) -> "subprocess.Popen[bytes]":
    """One that replaces the model until it is killed."""
    words = [sys.executable, "-m", replacing.__name__, str(repository), str(first), str(step)]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE)


def left_over(repository: Path) -> list[str]:
    return [path.name for path in (*repository.parent.iterdir(), *repository.iterdir()) if path.name.endswith(".importing")]


def test_a_killed_import_leaves_the_former_model_or_the_new_one(tmp_path: Path) -> None:
    repository, random_s = tmp_path / "imported", random.Random(0)
    replace(repository, 0)
    for round_number in range(12):
        with writer(repository, 10 * round_number) as process:
            assert process.stdout is not None
            process.stdout.readline()  # it is at work
            time.sleep(random_s.uniform(0, 0.03))
            process.send_signal(signal.SIGKILL)
        assert len(placed(repository)) == 1
    replace(repository, 7)  # sweeps what they left
    assert placed(repository) == {"7" * 1000}
    assert left_over(repository) == []


def test_imports_at_once_wait_for_each_other_and_whoever_looks_finds_one_whole(tmp_path: Path) -> None:
    repository = tmp_path / "imported"
    replace(repository, 0)
    writers = [writer(repository, first, step=2) for first in (1, 2)]
    try:
        for process in writers:
            assert process.stdout is not None
            for _ in range(20):
                assert process.stdout.readline()
                assert len(looked(repository)) <= 1  # none, where the folder that it opened was replaced and went
        assert all(process.poll() is None for process in writers)
    finally:
        for process in writers:
            process.kill()
            process.communicate()
    assert len(placed(repository)) == 1


def looked(repository: Path) -> set[str]:
    """What the files of the folder say that is in place now, as far as they are still there: there always is one."""
    folder, said = os.open(repository / NAME, os.O_RDONLY), set[str]()
    try:
        for each in range(replacing.FILES):
            try:
                with open(os.open(f"1/{each}.bin", os.O_RDONLY, dir_fd=folder)) as file:
                    said.add(file.read())
            except FileNotFoundError:
                break
    finally:
        os.close(folder)
    return said


def test_where_folders_cannot_be_exchanged_the_former_one_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(one: Path, other: Path) -> None:
        raise OSError(errno.EINVAL, "no RENAME_EXCHANGE here")

    repository, rename = tmp_path / "imported", Path.rename
    monkeypatch.setattr(exchange, "_exchange", cannot)
    replace(repository, 1)
    replace(repository, 2)
    assert placed(repository) == {"2" * 1000}

    def killed(path: Path, target: Path) -> Path:
        """As SIGKILL would, between the two steps."""
        if path.name == NAME and target == repository / NAME:
            os._exit(9)
        return rename(path, target)

    child = os.fork()
    if not child:
        monkeypatch.setattr(Path, "rename", killed)
        replace(repository, 3)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert not (repository / NAME).exists()
    with staging(repository, NAME):
        assert placed(repository) == {"2" * 1000}
    assert left_over(repository) == []


def test_without_replace_the_later_of_two_is_refused(tmp_path: Path) -> None:
    repository = tmp_path / "imported"
    with staging(repository, NAME) as folder:
        (folder / NAME).mkdir()
        replace(repository, 1)
        with pytest.raises(ModelImportError, match="exists; choose another --name, or --replace it"):
            place(folder / NAME, repository, None, replace=False)
    assert placed(repository) == {"1" * 1000}


def test_an_import_under_way_is_not_swept(tmp_path: Path) -> None:
    repository = tmp_path / "imported"
    with staging(repository, NAME) as folder:
        replace(repository, 1)
        assert folder.is_dir()
    assert left_over(repository) == []
