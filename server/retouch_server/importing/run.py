"""All of it in order: what `retouch models import` calls."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from retouch_server.importing.card import Card, config_text, readme_text
from retouch_server.importing.check import check, check_hole, open_onnx
from retouch_server.importing.fit import fit, measured_at
from retouch_server.importing.pictures import discs
from retouch_server.importing.place import Triton, check_name, place, running_triton, staging
from retouch_server.importing.reach import measure
from retouch_server.importing.source import ModelImportError, Source
from retouch_server.local.repository import IMPORTED, sha256_of
from retouch_server.local.runtime import MissingError
from retouch_server.models.spec import Kind

FAILURES = (ModelImportError, MissingError, OSError)
"""What can keep a model from being imported; each says what to do."""

PATCH, DIFFUSION = "patch", "diffusion"
"""Methods of inpainting in the API's words: learned and feed-forward; drawn from noise."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of an import; None: found out, or chosen.

    repository: where to, instead of the local service's on state_dir. triton_url: of the Triton that reads it.
    """

    path: Path
    name: str
    kind: str | None = None
    method: str | None = None
    window_px: int | None = None
    halo_px: int | None = None
    licence: str | None = None
    repository: Path | None = None
    triton_url: str | None = None
    state_dir: Path = Path("var")
    replace: bool = False


def run(wanted: Wanted, told: Callable[[str], None]) -> dict[str, Any]:
    """Imports a model; `told` hears of each step. Returns what became of it, as JSON knows it. Errors: FAILURES."""
    repository, triton = _destination(wanted)
    check_name(wanted.name, repository, triton, wanted.replace)
    with staging(repository, wanted.name) as folder:
        fresh = folder / wanted.name
        (fresh / "1").mkdir(parents=True)
        if wanted.path.is_dir():
            from retouch_server.importing.diffusion import import_pipeline

            card = import_pipeline(wanted, fresh, told)
        else:
            card = _import_network(wanted, fresh, told)
        (fresh / "config.pbtxt").write_text(config_text(card), encoding="utf-8")
        (fresh / "README.md").write_text(readme_text(card), encoding="utf-8")
        told("placing it in the repository" + (" and loading it" if triton else ""))
        outcome = place(fresh, repository, triton, replace=wanted.replace)
    return _document(card, repository / wanted.name, outcome)


def _destination(wanted: Wanted) -> tuple[Path, Triton | None]:
    if wanted.repository is not None:
        return wanted.repository, Triton(wanted.triton_url) if wanted.triton_url else None
    if wanted.triton_url:
        raise ModelImportError("--triton goes with --repository: the folder that this Triton reads")
    return wanted.state_dir / IMPORTED, running_triton(wanted.state_dir)


def _import_network(wanted: Wanted, fresh: Path, told: Callable[[str], None]) -> Card:
    path, model = wanted.path, fresh / "1" / "model.onnx"
    if path.suffix == ".onnx":
        from retouch_server.importing.onnx_file import import_onnx

        told("reading the ONNX file")
        source, notes, is_batched = import_onnx(path, wanted.kind, model)
        served = None
    else:
        from retouch_server.importing.checkpoint import SUFFIXES, load_checkpoint

        if path.suffix not in SUFFIXES:
            kinds = ", ".join((*SUFFIXES, ".onnx"))
            raise ModelImportError(f"{path.name}: a model comes as {kinds}, or as a diffusers folder with a model_index.json")
        told("recognising the architecture")
        (source, served), notes, is_batched = load_checkpoint(path), [], False
        if wanted.kind and wanted.kind != source.kind:
            raise ModelImportError(f"{path.name} is a {source.architecture}, which is for {source.kind}, not {wanted.kind}")
    measured_px = measured_at(source.kind, source.needs, wanted.window_px)
    reach = measure(source, measured_px, told)
    chosen = fit(source.kind, source.needs, reach, wanted.window_px, wanted.halo_px)
    if reach.receptive_field_px is not None and wanted.halo_px and wanted.halo_px < reach.receptive_field_px:
        notes.append(f"The halo is less than the {reach.receptive_field_px} px that a pixel reaches: seams may show.")
    differences = []
    if served is not None:
        from retouch_server.importing.export import export, with_side

        told("exporting to ONNX")
        source = with_side(source, export(source, served, chosen.window_px, model, told).side_px)
        chosen = fit(source.kind, source.needs, reach, chosen.window_px, chosen.halo_px)
        differences = check(open_onnx(model), source, chosen.window_px, told)
    elif source.takes_mask:
        check_hole(source.run, chosen.window_px, discs(chosen.window_px, chosen.window_px), told)
    return Card(
        name=wanted.name,
        kind=source.kind,
        method=wanted.method or _method(source),
        scale=source.scale,
        fit=chosen,
        file_name=path.name,
        sha256=sha256_of(path),
        licence=wanted.licence,
        facts=source.facts,
        differences=differences,
        notes=notes,
        side_px=source.needs.side_px,
        is_batched=is_batched,
    )


def _method(source: Source) -> str:
    """An inpainter is found by its method. An upscaler is not to be used unasked, nor where invention is forbidden."""
    return PATCH if source.kind == Kind.INPAINT else source.architecture.lower()


def _document(card: Card, folder: Path, outcome: str) -> dict[str, Any]:
    is_upscaler = card.kind == Kind.UPSCALE
    return {
        "name": card.name,
        "kind": card.kind.value,
        "method": card.method,
        "scale": card.scale,
        "facts": dict(card.facts),
        "sha256": card.sha256,
        "fit": asdict(card.fit),
        "differences": [asdict(each) for each in card.differences],
        "notes": list(card.notes),
        "folder": str(folder),
        "served": outcome == "served",
        "outcome": outcome,
        "use": f"--upscaler {card.name}" if is_upscaler else f"--inpaint {card.method}",
    }
