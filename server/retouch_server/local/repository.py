"""A servable Triton repository, assembled from source repositories.

A source is a plain Triton repository: a folder for each model, with its `config.pbtxt` and numbered version folders. Two
things are done on the way from source to target:

- A file `<name>.from-wheel` in a version folder is replaced by `<name>`, taken out of an installed wheel. It has one line,
  `PACKAGE PATH SHA256`, for example `rapidocr models/PP-OCRv6_det_small.onnx 090f04ab…`. The wheel is never imported.
- The parameter `retouch.digest` is added to `config.pbtxt`: what the planner calls the model's digest, and what results are
  cached under.

    python -m retouch_server.local.repository TARGET SOURCE...
"""

import hashlib
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from retouch_server.local.exchange import put
from retouch_server.local.runtime import MissingError, file_in_wheel

FROM_WHEEL = ".from-wheel"
DIGEST_KEY = "retouch.digest"
IMPORTED = "imported"
"""Where a local service's state keeps the source repository of what `retouch models import` brought."""


class RepositoryError(Exception):
    """A source cannot be served. The message names the model, the file and the remedy."""


@dataclass(frozen=True, slots=True)
class Model:
    """One model as it will be served: its configuration's text, and where the files of its versions come from."""

    name: str
    config: str
    files: tuple[tuple[str, Path], ...]  # ("1/model.onnx", source), sorted by name

    @property
    def digest(self) -> str:
        """sha256 over the names and contents of the versions' files and the configuration as it stands in the source."""
        whole = hashlib.sha256()
        for name, path in self.files:
            whole.update(f"{name}\0{sha256_of(path)}\n".encode())
        whole.update(self.config.encode())
        return whole.hexdigest()


def assemble(sources: Sequence[Path], target: Path) -> None:
    """Make `target` serve exactly the models of `sources`. Doing it again changes only what changed.

    Each model folder appears in one piece, so a tritonserver may be running on `target`. Folders that an earlier call put
    there and that no source has any more are removed; nothing else in `target` is touched.

    Raises RepositoryError before anything is written where a source is at fault.
    """
    models: dict[str, Model] = {}
    for source in sources:
        for model in read_source(source):
            if model.name in models:
                raise RepositoryError(f"model {model.name!r} is in more than one source; the second is {source}")
            models[model.name] = model
    target.mkdir(parents=True, exist_ok=True)
    for folder in target.iterdir():
        if folder.name not in models and f'"{DIGEST_KEY}"' in _text_of(folder / "config.pbtxt"):
            shutil.rmtree(folder)
    # Beside the target and not in it, where Triton would take it for a model.
    staging = target.with_name(f".{target.name}.staging")
    for model in models.values():
        _place(model, target / model.name, staging)


def add(folder: Path, target: Path) -> None:
    """Put one model into a target that `assemble` made, in one piece; in place of one of its name. Raises RepositoryError."""
    _place(_read_model(folder), target / folder.name, target.with_name(f".{target.name}.{folder.name}.staging"))


def read_source(source: Path) -> Iterator[Model]:
    """The models of a source repository, by name. Entries that begin with `.` or `_`, and plain files, are not models."""
    if not source.is_dir():
        raise RepositoryError(f"there is no model repository at {source}")
    for folder in sorted(source.iterdir()):
        if folder.is_dir() and not folder.name.startswith((".", "_")):
            yield _read_model(folder)


def default_source() -> Path:
    """The product's own `model_repository`, found from a checkout. An installed server has to be told where it is."""
    checkout = Path(__file__).resolve().parents[3]
    source = checkout / "model_repository"
    if not (checkout / "pyproject.toml").is_file() or not source.is_dir():
        raise RepositoryError(
            f"no model repository beside {checkout}: this retouch-server is not running from a checkout, so name the "
            "repository to serve"
        )
    return source


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_model(folder: Path) -> Model:
    config = folder / "config.pbtxt"
    if not config.is_file():
        raise RepositoryError(f"{folder} has no config.pbtxt")
    text = config.read_text(encoding="utf-8")
    if DIGEST_KEY in text:
        raise RepositoryError(f"{config} sets {DIGEST_KEY}, which assembling adds; is {folder.parent} a source?")
    versions = [entry for entry in folder.iterdir() if entry.is_dir() and entry.name.isdecimal()]
    files: dict[str, Path] = {}
    for path in (path for version in versions for path in version.rglob("*") if path.is_file()):
        name = path.relative_to(folder)
        if any(part.startswith(".") or part == "__pycache__" for part in name.parts):
            continue
        if path.name.endswith(FROM_WHEEL):
            files[name.as_posix().removesuffix(FROM_WHEEL)] = _taken_from_wheel(path)
        else:
            files[name.as_posix()] = path
    if not files:
        raise RepositoryError(f"{folder} has no version with a file in it, such as {folder.name}/1/model.onnx")
    return Model(folder.name, text, tuple(sorted(files.items())))


def _taken_from_wheel(reference: Path) -> Path:
    try:
        package, path, digest = reference.read_text(encoding="utf-8").split()
    except ValueError:
        raise RepositoryError(f"{reference}: expected one line, PACKAGE PATH SHA256") from None
    try:
        found = file_in_wheel(package, path)
    except MissingError as error:
        raise RepositoryError(f"{reference}: {error}") from error
    if (actual := sha256_of(found)) != digest:
        raise RepositoryError(
            f"{reference}: {found} has sha256 {actual}, not {digest}; install the version of {package} that "
            "requirements/no-deps.txt names"
        )
    return found


def _place(model: Model, place: Path, staging: Path) -> None:
    config = (
        f"{model.config.rstrip()}\n"
        f'parameters {{ key: "{DIGEST_KEY}" value {{ string_value: "{model.digest}" }} }}  # added by assembling\n'
    )
    if _text_of(place / "config.pbtxt") == config:
        return
    shutil.rmtree(staging, ignore_errors=True)
    fresh = staging / "new"
    for name, source in model.files:
        (fresh / name).parent.mkdir(parents=True, exist_ok=True)
        # A copy: a link would let a source that is written in place change under a running server and its digest.
        shutil.copyfile(source, fresh / name)
    (fresh / "config.pbtxt").write_text(config, encoding="utf-8")
    put(fresh, place)
    shutil.rmtree(staging)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def main(arguments: Sequence[str]) -> int:
    """The command line: TARGET SOURCE... Prints what is served, a model and its digest to a line."""
    if len(arguments) < 2:
        print("usage: python -m retouch_server.local.repository TARGET SOURCE...", file=sys.stderr)
        return 2
    target, *sources = map(Path, arguments)
    try:
        assemble(sources, target)
    except RepositoryError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for source in sources:
        for model in read_source(source):
            print(f"{model.name}\t{model.digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
