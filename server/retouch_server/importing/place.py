"""A model folder into a repository, in one piece, and into the Triton that runs."""

import asyncio
import glob
import json
import shutil
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from retouch_server.importing.source import ModelImportError
from retouch_server.local import control
from retouch_server.local.control import ModelLoadError
from retouch_server.local.exchange import locked, put, restore
from retouch_server.local.repository import add

SUFFIX = ".importing"


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
    """A fresh folder on the repository's file system, beside it where possible; whatever is left in it goes at the end.

    What imports of that name left behind that were killed goes at the beginning.
    """
    repository.mkdir(parents=True, exist_ok=True)
    inside = repository.stat().st_dev != repository.absolute().parent.stat().st_dev
    # In a repository of its own mount it has to be inside, where a leading dot keeps it from being taken for a model.
    parent, prefix = (repository, f".{name}.") if inside else (repository.absolute().parent, f".{repository.name}.{name}.")
    with ExitStack() as stack:
        with locked(repository):
            _sweep(parent, prefix, repository / name)
            folder = Path(tempfile.mkdtemp(SUFFIX, prefix, parent))
            stack.enter_context(locked(folder))  # for as long as this process lives and needs it
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield folder


def _sweep(parent: Path, prefix: str, target: Path) -> None:
    """Removes staging folders that nobody holds any more; a model that was moved aside from `target` goes back first.

    An import that ends meanwhile takes its own away: it does not wait for who looks.
    """
    for left in parent.glob(f"{glob.escape(prefix)}*{SUFFIX}"):
        with suppress(BlockingIOError, FileNotFoundError), locked(left, waits=False):
            restore(left, target)
            shutil.rmtree(left)


def check_name(name: str, repository: Path, triton: Triton | None, replace: bool) -> None:
    """Errors: ModelImportError when the name is no name, or is taken."""
    if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum() or name.startswith(("-", "_")):
        raise ModelImportError(f"--name {name!r}: use letters, digits, - and _, beginning with a letter or digit")
    if (repository / name).exists():
        if not replace:
            raise ModelImportError(f"{repository / name} exists; choose another --name, or --replace it")
    elif triton is not None and triton.repository is not None and (triton.repository / name).exists():
        raise ModelImportError(f"the service has a model {name!r} that was not imported; choose another --name")


def place(fresh: Path, repository: Path, triton: Triton | None, *, replace: bool) -> str:
    """Moves `fresh`, whose name is the model's, into the repository and has Triton load it. Returns what became of it.

    `fresh` must lie in a folder of `staging`. However it ends, the former model or the new one is in place, whole; of two
    imports at once the later one waits. Errors: ModelImportError when Triton cannot load it, and when the name was taken
    meanwhile; all is as before then.
    """
    target = repository / fresh.name
    with locked(repository):
        check_name(fresh.name, repository, triton, replace)
        is_new = not target.exists()
        put(fresh, target)
        if triton is None:
            return "not served yet: no service runs on it"
        try:
            return _serve(target, triton)
        except BaseException:
            if is_new:
                target.rename(fresh)
            else:
                put(fresh, target)
            if triton.repository is not None:
                _serve_again(target, triton.repository)
            raise


def _serve(folder: Path, triton: Triton) -> str:
    if triton.repository is not None:
        add(folder, triton.repository)
    try:
        asyncio.run(control.load_model(triton.http_url, folder.name))
    except control.ModelControlOffError:
        return "Triton reads its repository by itself (model control is off): it will load it if it polls, or when restarted"
    except (ModelLoadError, OSError) as error:
        raise ModelImportError(f"Triton did not take the model, so it was not imported: {error}") from error
    return "served"


def _serve_again(former: Path, assembled: Path) -> None:
    """Has the folder that Triton reads hold what it held: it goes on serving the former model, or none."""
    if former.exists():
        add(former, assembled)
    else:
        shutil.rmtree(assembled / former.name, ignore_errors=True)
