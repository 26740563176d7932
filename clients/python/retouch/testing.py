"""A Retouch service for tests of programs that use this package: a real gRPC server on a free port, without models.

    async with FakeServer() as fake, RetouchClient(fake.target) as client:
        fake.script(Fault(Code.UNAVAILABLE, "DRAINING", retry_after_s=0.1))
        await client.edit_image(image, scale=2)      # refused once, made again, gives the nearest-neighbour enlargement

Edits change no pixel; with scale 2 or 4 every pixel is repeated. Masks are stored, compared and refused as the service does.
Faults are used up in order, one for each call of the method they are for; leaving the context with some left over raises
AssertionError, so that a test cannot pass because its fault never happened.
"""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NoReturn, cast

import grpc
import numpy as np
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from PIL import Image

from retouch import convert
from retouch.errors import DOMAIN, Code
from retouch.geometry import Rect, Size
from retouch.pixels import CHANNELS, Pixels
from retouch.png import decoded, gray_png
from retouch.upload import TILE_BYTES, strips
from retouch.v1 import edit_service_pb2 as edit_pb
from retouch.v1 import image_pb2, model_service_pb2, options_pb2, plan_pb2
from retouch.v1 import mask_service_pb2 as mask_pb
from retouch.v1 import precheck_service_pb2 as precheck_pb
from retouch.wire import WireTile, from_proto, parse_request, tile_message, to_bytes

__all__ = ["Code", "FakeServer", "Fault", "Lie"]

Method = Literal["Edit", "Precheck", "PutMask", "GetMask", "ListMaskVersions", "SuggestMask", "ListModels", "Check"]
Deviation = Literal["gap", "overlap", "outside", "short_data", "wrong_size", "no_accepted", "no_done", "message_after_done"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A refusal, as the service would tell it. Without a reason: as a proxy or the network would."""

    code: grpc.StatusCode
    reason: str = ""
    message: str = "scripted"
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    retry_after_s: float | None = None
    field_violations: tuple[tuple[str, str], ...] = ()
    after_tiles: int | None = None  # of Edit: accept, send so many tiles, then fail; None: refuse at once
    method: Method = "Edit"

    def status(self) -> grpc.Status:
        """The status with its details."""
        details: list[any_pb2.Any] = []
        if self.reason:
            details.append(_packed(error_details_pb2.ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=self.metadata)))
        if self.retry_after_s is not None:
            delay = duration_pb2.Duration()
            delay.FromNanoseconds(round(self.retry_after_s * 1e9))
            details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
        if self.field_violations:
            bad = error_details_pb2.BadRequest()
            for name, description in self.field_violations:
                bad.field_violations.add(field=name, description=description)
            details.append(_packed(bad))
        status = status_pb2.Status(code=self.code.value[0], message=self.message, details=details)
        return cast(Any, rpc_status).to_status(status)


@dataclass(frozen=True, slots=True)
class Lie:
    """A breach of Edit's contract, to prove that a caller notices."""

    kind: Deviation
    method: Method = "Edit"


@dataclass(slots=True)
class _StoredMask:
    """Versions of one mask, oldest first."""

    versions: list[tuple[mask_pb.MaskVersion, bytes]] = field(default_factory=list[tuple[mask_pb.MaskVersion, bytes]])


class FakeServer:
    """The four services and health on `target`, with TLS where credentials are given. Attributes are what it serves; change
    them before the call."""

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self._credentials = credentials
        self.target = ""
        self.health = 1  # SERVING
        self.models = [_model("inpaint_patch", 4, "patch"), _model("upscale_conservative_x2", 5, "conservative", scale=2)]
        self.findings = plan_pb2.Findings()
        self.warnings: list[str] = []
        self.opened: list[edit_pb.OpenEdit] = []  # every Edit that came, refused or not
        self.tokens: list[str] = []  # the `authorization` of every call; empty without one
        self.suggested_boxes = [Rect(0, 0, 1, 1)]
        self.was_left = asyncio.Event()  # set once an edit ended before its answer did: cancelled, or refused its mask
        self.tiles_received = 0
        self.tiles_sent = 0
        self.accepts_after_pixels = False  # judge the pixels themselves: read them all before `accepted`
        self.is_stalled = False  # never answer an edit
        self._faults: list[Fault | Lie] = []
        self._masks: dict[str, _StoredMask] = {}
        self._server: grpc.aio.Server | None = None

    def script(self, *faults: Fault | Lie) -> None:
        """Adds faults to come."""
        self._faults += faults

    async def __aenter__(self) -> "FakeServer":
        self._server = grpc.aio.server()
        for service, handlers in _handlers(self).items():
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        if self._credentials is None:
            port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            port = self._server.add_secure_port("127.0.0.1:0", self._credentials)
        await self._server.start()
        self.target = f"127.0.0.1:{port}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        assert self._server is not None
        await self._server.stop(None)
        if kind is None and self._faults:
            raise AssertionError(f"scripted but never used: {self._faults}")

    async def edit(
        self, requests: AsyncIterator[WireTile | edit_pb.EditRequest], context: Any
    ) -> AsyncIterator[bytes | edit_pb.EditResponse]:
        """EditService.Edit."""
        first = await anext(requests)
        assert isinstance(first, edit_pb.EditRequest)
        opened = first.open
        self.opened.append(opened)
        fault = await self._begin("Edit", context)
        if isinstance(fault, Fault) and fault.after_tiles is None:
            await _abort(context, fault)
        is_over = False
        try:
            if self.is_stalled:
                await asyncio.Event().wait()
            digest, version = await self._mask_in_use(opened, context)
            async for response in _edited(self, opened, requests, fault, digest, version):
                yield response
            is_over = True
            if isinstance(fault, Fault):
                await _abort(context, fault)
        finally:
            if not is_over:
                self.was_left.set()

    async def precheck(self, request: precheck_pb.PrecheckRequest, context: Any) -> precheck_pb.PrecheckResponse:
        """PrecheckService.Precheck."""
        await self._refuse_if_scripted("Precheck", context)
        digest, _ = await self._mask_in_use(request, context)
        size = convert.from_size(request.size)
        return precheck_pb.PrecheckResponse(
            findings=self.findings,
            plan=_plan(size, request.options.scale or 1),
            estimate=_estimate(),
            mask_digest=digest,
            warnings=self.warnings,
            judged=precheck_pb.Judged(picture=request.proxy.data, mask=b""),
        )

    async def put_mask(self, requests: AsyncIterator[mask_pb.PutMaskRequest], context: Any) -> mask_pb.PutMaskResponse:
        """MaskService.PutMask, compare-and-set."""
        await self._refuse_if_scripted("PutMask", context)
        opened = (await anext(requests)).open
        png = b"".join([request.chunk async for request in requests])
        stored = self._masks.setdefault(opened.image_id, _StoredMask()).versions
        current = stored[-1][0].version if stored else 0
        if opened.expected_version != current:
            metadata = {
                "image_id": opened.image_id,
                "expected_version": str(opened.expected_version),
                "current_version": str(current),
            }
            await _abort(context, Fault(Code.ABORTED, "VERSION_CONFLICT", "another mask came first", metadata))
        pixels = decoded(png)
        digest = hashlib.sha256(pixels.tobytes()).hexdigest()
        if stored and stored[-1][0].digest == digest:
            return mask_pb.PutMaskResponse(version=stored[-1][0], created=False)
        version = mask_pb.MaskVersion(
            image_id=opened.image_id, version=current + 1, digest=digest, size=convert.to_size(Size(*pixels.shape[:2]))
        )
        version.created.FromDatetime(datetime.now(UTC))
        stored.append((version, png))
        return mask_pb.PutMaskResponse(version=version, created=True)

    async def get_mask(self, request: mask_pb.GetMaskRequest, context: Any) -> AsyncIterator[mask_pb.GetMaskResponse]:
        """MaskService.GetMask."""
        await self._refuse_if_scripted("GetMask", context)
        version, png = await self._found(request.image_id, request.version, context)
        yield mask_pb.GetMaskResponse(version=version)
        for at in range(0, len(png), TILE_BYTES):
            yield mask_pb.GetMaskResponse(chunk=png[at : at + TILE_BYTES])

    async def list_versions(self, request: mask_pb.ListMaskVersionsRequest, context: Any) -> mask_pb.ListMaskVersionsResponse:
        """MaskService.ListMaskVersions."""
        await self._refuse_if_scripted("ListMaskVersions", context)
        stored = self._masks.get(request.image_id, _StoredMask()).versions
        below = [each for each, _ in reversed(stored) if not request.before_version or each.version < request.before_version]
        return mask_pb.ListMaskVersionsResponse(versions=below[: request.page_size or 100])

    async def suggest_mask(self, request: mask_pb.SuggestMaskRequest, context: Any) -> mask_pb.SuggestMaskResponse:
        """MaskService.SuggestMask: `suggested_boxes` at 255."""
        await self._refuse_if_scripted("SuggestMask", context)
        height, width = decoded(request.proxy.data).shape[:2]
        mask = np.zeros((height, width), np.uint8)
        for box in self.suggested_boxes:
            mask[box.y : box.bottom, box.x : box.right] = 255
        boxes = [image_pb2.Rect(y=box.y, x=box.x, height=box.height, width=box.width) for box in self.suggested_boxes]
        size = convert.to_size(Size(height, width))
        return mask_pb.SuggestMaskResponse(mask_png=gray_png(mask), size=size, boxes=boxes)

    async def list_models(self, request: object, context: Any) -> model_service_pb2.ListModelsResponse:
        """ModelService.ListModels."""
        await self._refuse_if_scripted("ListModels", context)
        return model_service_pb2.ListModelsResponse(models=self.models)

    async def check(self, request: bytes, context: Any) -> bytes:
        """grpc.health.v1.Health.Check."""
        await self._refuse_if_scripted("Check", context)
        return bytes((0x08, self.health)) if self.health else b""

    async def watch(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """grpc.health.v1.Health.Watch: as `health` is when a client connects."""
        yield bytes((0x08, self.health)) if self.health else b""
        await asyncio.Event().wait()

    async def _begin(self, method: Method, context: Any) -> Fault | Lie | None:
        metadata = dict(context.invocation_metadata())
        self.tokens.append(metadata.get("authorization", ""))
        mine = next((each for each in self._faults if each.method == method), None)
        if mine is not None:
            self._faults.remove(mine)
        return mine

    async def _refuse_if_scripted(self, method: Method, context: Any) -> None:
        fault = await self._begin(method, context)
        if isinstance(fault, Fault):
            await _abort(context, fault)

    async def _found(self, image_id: str, version: int, context: Any) -> tuple[mask_pb.MaskVersion, bytes]:
        stored = self._masks.get(image_id, _StoredMask()).versions
        for each, png in reversed(stored):
            if version in (0, each.version):
                return each, png
        metadata = {"image_id": image_id, "version": str(version)}
        return await _abort(context, Fault(Code.NOT_FOUND, "MASK_NOT_FOUND", "there is no such mask", metadata))

    async def _mask_in_use(self, request: edit_pb.OpenEdit | precheck_pb.PrecheckRequest, context: Any) -> tuple[str, int]:
        kind = request.mask.WhichOneof("source")
        if kind == "inline_png":
            return hashlib.sha256(decoded(request.mask.inline_png).tobytes()).hexdigest(), 0
        if kind is None:
            return "", 0
        named = request.mask.reference
        current, _ = await self._found(named.image_id, 0, context)
        if named.version not in (0, current.version) or named.digest not in ("", current.digest):
            metadata = {
                "image_id": named.image_id,
                "named_version": str(named.version),
                "named_digest": named.digest,
                "current_version": str(current.version),
                "current_digest": current.digest,
            }
            await _abort(context, Fault(Code.FAILED_PRECONDITION, "STALE_MASK", "the mask has changed", metadata))
        return current.digest, current.version


async def _edited(
    fake: FakeServer,
    opened: edit_pb.OpenEdit,
    requests: AsyncIterator[WireTile | edit_pb.EditRequest],
    fault: Fault | Lie | None,
    digest: str,
    version: int,
) -> AsyncIterator[bytes | edit_pb.EditResponse]:
    size, scale = convert.from_size(opened.size), opened.options.scale or 1
    channels = next(n for name, n in CHANNELS.items() if convert.to_pixel_format(name) == opened.pixel_format)
    lie = fault.kind if isinstance(fault, Lie) else None
    limit = fault.after_tiles if isinstance(fault, Fault) else None
    plan = _plan(size, scale + 1 if lie == "wrong_size" else scale)
    accepted = edit_pb.Accepted(
        edit_id=f"fake-{len(fake.opened)}",
        findings=fake.findings,
        plan=plan,
        estimate=_estimate(),
        mask_digest=digest,
        mask_version=version,
    )
    if fake.accepts_after_pixels:
        requests = _replayed([request async for request in requests])
    if lie != "no_accepted":
        yield edit_pb.EditResponse(accepted=accepted)
    sent, tiles_in, tiles_total = 0, 0, sum(1 for _ in strips(size, channels))
    async for request in requests:
        tile = request if isinstance(request, WireTile) else from_proto(request.tile)
        tiles_in += 1
        fake.tiles_received += 1
        yield edit_pb.EditResponse(
            progress=edit_pb.Progress(stage=plan_pb2.STAGE_UPSCALE, tiles_done=tiles_in, tiles_total=tiles_total)
        )
        pixels = np.frombuffer(tile.data, np.uint8).reshape(tile.rect.height, tile.rect.width, channels)
        for rect, part in _pieces(tile.rect, pixels, scale):
            if limit is not None and sent >= limit:
                return
            sent += 1
            fake.tiles_sent += 1
            yield _answer(rect, part, opened.options.output_encoding, lie if sent == 1 else None)
    if limit is not None or lie == "no_done":
        return
    done = edit_pb.EditResponse(
        done=edit_pb.Done(
            seconds=0.5,
            seam_score=1.0,
            mask_digest=digest,
            mask_version=version,
            seed=opened.options.seed,
            warnings=fake.warnings,
            stages=[edit_pb.StageReport(stage=plan_pb2.STAGE_UPSCALE, tiles_run=tiles_in, seam_score=1.0, borders_widened=2)],
            gate=_gate(opened.options) if scale > 1 else None,
        )
    )
    yield done
    if lie == "message_after_done":
        yield done


async def _replayed(requests: list[Any]) -> AsyncIterator[Any]:
    for request in requests:
        yield request


def _pieces(rect: Rect, pixels: Pixels, scale: int) -> Iterator[tuple[Rect, Pixels]]:
    """The output tiles of one full-width input tile: enlarged, and cut so that they fit into messages."""
    large = pixels if scale == 1 else pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    for piece in strips(Size(*large.shape[:2]), large.shape[2]):
        part = np.ascontiguousarray(large[piece.y : piece.bottom, piece.x : piece.right])
        yield Rect(rect.y * scale + piece.y, piece.x, piece.height, piece.width), part


def _answer(rect: Rect, pixels: Pixels, encoding: int, lie: str | None) -> bytes | edit_pb.EditResponse:
    if lie in ("gap", "overlap", "outside"):
        moved_px = {"gap": 1, "overlap": -1, "outside": 1 << 20}[lie]
        rect = Rect(max(0, rect.y + moved_px), rect.x, rect.height, rect.width if lie != "overlap" else max(1, rect.width - 1))
    if lie == "short_data":
        return tile_message(rect, pixels.tobytes()[:-1])
    if encoding == image_pb2.ENCODING_PNG:
        where = image_pb2.Rect(y=rect.y, x=rect.x, height=rect.height, width=rect.width)
        tile = image_pb2.Tile(rect=where, data=_png(pixels), encoding=image_pb2.ENCODING_PNG)
        return edit_pb.EditResponse(tile=tile)
    return tile_message(rect, pixels.data)


def _png(pixels: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels if pixels.shape[2] > 1 else pixels[:, :, 0]).save(out, "PNG")
    return out.getvalue()


def _plan(size: Size, scale: int) -> plan_pb2.Plan:
    no_work = "the fake edits nothing"
    stages = [
        plan_pb2.PlannedStage(stage=plan_pb2.STAGE_TEXT_REMOVAL, skipped_because=no_work),
        plan_pb2.PlannedStage(stage=plan_pb2.STAGE_INPAINT, skipped_because=no_work),
        plan_pb2.PlannedStage(stage=plan_pb2.STAGE_UPSCALE, skipped_because=no_work)
        if scale == 1
        else plan_pb2.PlannedStage(
            stage=plan_pb2.STAGE_UPSCALE,
            model=plan_pb2.PlannedModel(name=f"upscale_conservative_x{scale}", version="1"),
            tiles_total=1,
            tiles_to_run=1,
        ),
    ]
    return plan_pb2.Plan(stages=stages, output_size=convert.to_size(size.scaled(scale)))


def _gate(options: options_pb2.EditOptions) -> edit_pb.Gate:
    return edit_pb.Gate(
        criticality=options.criticality,
        asked=options.upscaler,
        chosen=plan_pb2.PlannedModel(name=f"upscale_conservative_x{options.scale}", version="1"),
        method="conservative",
        allowed=["*"],
        reason="the fake has no other",
    )


def _estimate() -> plan_pb2.Estimate:
    stage = plan_pb2.StageEstimate(stage=plan_pb2.STAGE_UPSCALE, estimate_ms=250)
    return plan_pb2.Estimate(stages=[stage], total_ms=300)


def _model(name: str, kind: int, method: str, scale: int = 1) -> model_service_pb2.Model:
    return model_service_pb2.Model(
        name=name,
        kind=model_service_pb2.ModelKind.ValueType(kind),
        method=method,
        scale=scale,
        window_px=512,
        halo_px=32,
        receptive_field_px=32,
        multiple_px=8,
        is_deterministic=True,
        versions=["1"],
        is_ready=True,
    )


async def _abort(context: Any, fault: Fault) -> NoReturn:
    await context.abort_with_status(fault.status())
    raise AssertionError("abort_with_status always raises")


def _packed(detail: Any) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed


def _handlers(fake: FakeServer) -> "dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]]":
    def unary(behaviour: Callable[..., Any], parse: Callable[[bytes], Any]) -> "grpc.RpcMethodHandler[Any, Any]":
        return grpc.unary_unary_rpc_method_handler(behaviour, parse, _serialised)

    return {
        "retouch.v1.EditService": {"Edit": grpc.stream_stream_rpc_method_handler(fake.edit, parse_request, to_bytes)},
        "retouch.v1.PrecheckService": {"Precheck": unary(fake.precheck, precheck_pb.PrecheckRequest.FromString)},
        "retouch.v1.MaskService": {
            "PutMask": grpc.stream_unary_rpc_method_handler(fake.put_mask, mask_pb.PutMaskRequest.FromString, _serialised),
            "GetMask": grpc.unary_stream_rpc_method_handler(fake.get_mask, mask_pb.GetMaskRequest.FromString, _serialised),
            "ListMaskVersions": unary(fake.list_versions, mask_pb.ListMaskVersionsRequest.FromString),
            "SuggestMask": unary(fake.suggest_mask, mask_pb.SuggestMaskRequest.FromString),
        },
        "retouch.v1.ModelService": {"ListModels": unary(fake.list_models, model_service_pb2.ListModelsRequest.FromString)},
        "grpc.health.v1.Health": {
            "Check": unary(fake.check, bytes),
            "Watch": grpc.unary_stream_rpc_method_handler(fake.watch, bytes, _serialised),
        },
    }


def _serialised(message: Any) -> bytes:
    return message if isinstance(message, bytes) else message.SerializeToString()
