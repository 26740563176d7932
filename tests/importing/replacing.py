"""Run as a program: places one model after the other, until it is killed. REPOSITORY FIRST STEP

Model number n has FILES files, all of which say n.
"""

import sys
from itertools import count
from pathlib import Path

from retouch_server.importing.place import place, staging

NAME, FILES = "mine", 40


def replace(repository: Path, number: int) -> None:
    """Imports model `number`, in place of one that is there."""
    with staging(repository, NAME) as folder:
        fresh = folder / NAME
        (fresh / "1").mkdir(parents=True)
        for each in range(FILES):
            (fresh / "1" / f"{each}.bin").write_text(str(number) * 1000)
        place(fresh, repository, None, replace=True)


def placed(repository: Path) -> set[str]:
    """What the files of the model in place say: one thing, where it is whole."""
    files = sorted((repository / NAME / "1").iterdir())
    assert len(files) == FILES
    return {file.read_text() for file in files}


if __name__ == "__main__":
    for number in count(int(sys.argv[2]), int(sys.argv[3])):
        replace(Path(sys.argv[1]), number)
        print(number, flush=True)
