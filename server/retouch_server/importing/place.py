"""A model folder into a repository, in one piece, and into the Triton that runs."""

import asyncio
import json
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from retouch_server.importing.source import ModelImportError
from retouch_server.local import control
from retouch_server.local.control import ModelLoadError
from retouch_server.local.repository import add


@dataclass(frozen=True, slots=True)
class Triton:
    """A Triton that runs: its HTTP endpoint, and the assembled repository that it reads, where that is this machine's."""

    http_url: str
    repository: Path | None = None


def running_triton(state_dir: Path) -> Triton | None:
    """The Triton of the local service on `state_dir`; None where none answers."""
    try:
        told = json.loads((state_dir / "triton" / "endpoints.json").read_text(encoding="utf-8"))
        found = Triton(told["http"], Path(told["repository"]))
    except (OSError, ValueError, KeyError):
        return None
    return found if asyncio.run(control.is_live(found.http_url)) else None


@contextmanager
def staging(repository: Path, name: str) -> Generator[Path]:
    """A fresh folder on the repository's file system, beside it where possible; whatever is left in it goes at the end."""
    repository.mkdir(parents=True, exist_ok=True)
    inside = repository.stat().st_dev != repository.absolute().parent.stat().st_dev
    # In a repository of its own mount it has to be inside, where a leading dot keeps it from being taken for a model.
    folder = repository / f".{name}.importing" if inside else repository.with_name(f".{repository.name}.{name}.importing")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_name(name: str, repository: Path, triton: Triton | None, replace: bool) -> None:
    """Errors: ModelImportError when the name is no name, or is taken."""
    if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum() or name.startswith(("-", "_")):
        raise ModelImportError(f"--name {name!r}: use letters, digits, - and _, beginning with a letter or digit")
    if (repository / name).exists():
        if not replace:
            raise ModelImportError(f"{repository / name} exists; choose another --name, or --replace it")
    elif triton is not None and triton.repository is not None and (triton.repository / name).exists():
        raise ModelImportError(f"the service has a model {name!r} that was not imported; choose another --name")


def place(fresh: Path, repository: Path, triton: Triton | None) -> str:
    """Moves `fresh`, whose name is the model's, into the repository and has Triton load it. Returns what became of it.

    `fresh` must lie in a folder of `staging`. Errors: ModelImportError when Triton cannot load it; all is as before then.
    """
    target, former = repository / fresh.name, fresh.with_name("former")
    if target.exists():
        target.rename(former)
    try:
        fresh.rename(target)
        if triton is None:
            return "not served yet: no service runs on it"
        return _serve(target, former, triton)
    except BaseException:
        if target.exists():
            shutil.rmtree(target)
        if former.exists():
            former.rename(target)
        raise


def _serve(folder: Path, former: Path, triton: Triton) -> str:
    if triton.repository is not None:
        add(folder, triton.repository)
    try:
        asyncio.run(control.load_model(triton.http_url, folder.name))
    except control.ModelControlOffError:
        return "Triton reads its repository by itself (model control is off): it will load it if it polls, or when restarted"
    except (ModelLoadError, OSError) as error:
        if triton.repository is not None:
            shutil.rmtree(triton.repository / folder.name, ignore_errors=True)
            if former.exists():
                add(former.rename(former.with_name(folder.name)), triton.repository)
                former.with_name(folder.name).rename(former)
        raise ModelImportError(f"Triton did not take the model, so it was not imported: {error}") from error
    return "served"
