"""One NVIDIA Triton Inference Server over gRPC, with shared memory where it is on the same host.

The only module that imports tritonclient.
"""

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException
from tritonclient.utils import np_to_triton_dtype as _np_to_triton_dtype  # pyright: ignore[reportUnknownVariableType]

from retouch_server.errors import ModelFault, ModelUnavailable
from retouch_server.models.backend import Array, Call
from retouch_server.models.shm import Arena, Region
from retouch_server.models.spec import Kind, ModelSpec, parse_spec
from retouch_server.telemetry.metrics import Metrics
from retouch_server.telemetry.tracing import annotate, headers

log = logging.getLogger(__name__)
np_to_triton_dtype: Callable[[type[np.generic]], str] = cast(Any, _np_to_triton_dtype)  # tritonclient has no types

CALL_TIMEOUT_S = 120.0
CONTROL_TIMEOUT_S = 5.0
RETRY_AFTER_S = 2.0
_ALIGNMENT = 64

# Answers that another attempt, or another replica, may turn into a result. Triton reports them as INTERNAL or INVALID_ARGUMENT.
_PASSING = (
    "is not healthy",  # the python backend's process died: another replica may do it, or this one after a restart
    "failed to launch the stub",
    "stub process",
    "has no available versions",
    "is not found",  # while models load after a restart
    "is not ready",
    "unable to find shared memory region",  # Triton was restarted and forgot ours
    "server is stopping",
)
_PASSING_STATUS = ("StatusCode.UNAVAILABLE", "StatusCode.CANCELLED", "StatusCode.DEADLINE_EXCEEDED")


@dataclass(frozen=True, slots=True)
class _Tensor:
    """Where a tensor lies in a region."""

    name: str
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


_CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # After a restart of Triton, connect again within a second rather than within two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A host that vanishes without a word is given up once what was sent stayed unacknowledged for so long (gRPC sets
    # TCP_USER_TIMEOUT by it); the index, asked for every few seconds, sees to it that something was sent. The pings
    # themselves may come no oftener than Triton allows, which is every 300 s.
    ("grpc.keepalive_time_ms", 310_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]


class TritonServer:
    """Runs models on the Triton server at `url`, host:port of its gRPC endpoint. `Pools` makes a backend of many.

    use_shared_memory: None finds out by itself. metrics: told how many regions there are and are in use.
    """

    def __init__(self, url: str, *, use_shared_memory: bool | None = None, metrics: Metrics | None = None) -> None:
        self.url = url
        self._client: Any = InferenceServerClient(url, channel_args=_CHANNEL_OPTIONS)
        self._use_shared_memory = use_shared_memory
        self._shares_memory = use_shared_memory  # None: not known yet
        self._arena = Arena(metrics)
        self._batched: dict[str, bool] = {}
        self._abandoned: set[asyncio.Task[None]] = set()
        self._registering = asyncio.Lock()

    async def specs(self) -> list[ModelSpec]:
        """All models of its repository, ready or not, by name. Errors: ModelUnavailable."""
        try:
            return await self._specs()
        except InferenceServerException as error:
            log.debug("triton %s does not list its models: %s", self.url, error)
            self._forget()
            raise ModelUnavailable("the model server does not answer", RETRY_AFTER_S) from error

    async def _specs(self) -> list[ModelSpec]:
        index = await self._client.get_model_repository_index(client_timeout=CONTROL_TIMEOUT_S)
        entries: dict[str, list[Any]] = {}
        for entry in index.models:
            entries.setdefault(entry.name, []).append(entry)
        specs: list[ModelSpec] = []
        for name, versions in sorted(entries.items()):
            ready = tuple(sorted((v.version for v in versions if v.state == "READY"), key=int))
            if not ready:
                # Triton tells the configuration of ready models only, so nothing more is known of this one.
                reason = versions[0].reason or versions[0].state or "not loaded"
                specs.append(ModelSpec(name=name, kind=Kind.UNKNOWN, method="", is_ready=False, reason=reason))
                continue
            config = (await self._client.get_model_config(name, client_timeout=CONTROL_TIMEOUT_S)).config
            self._batched[name] = config.max_batch_size > 0
            parameters = {key: value.string_value for key, value in config.parameters.items()}
            try:
                spec = parse_spec(name, parameters, versions=ready, inputs=[tensor.name for tensor in config.input])
            except ValueError as error:
                log.warning("%s; it is left out", error)
                continue
            if spec is not None:
                specs.append(spec)
        return specs

    @asynccontextmanager
    async def infer(self, call: Call) -> AsyncGenerator[Mapping[str, Array]]:
        """As `ModelServer.infer`."""
        annotate(triton=self.url)
        if self._shares_memory is None:
            self._shares_memory = await self._probe()
        if self._shares_memory:
            async with self._infer_shared(call) as outputs:
                yield outputs
        else:
            yield await self._infer_bytes(call)

    async def close(self) -> None:
        """Waits for what still runs, gives all regions back and disconnects."""
        if self._abandoned:
            await asyncio.wait(self._abandoned, timeout=CALL_TIMEOUT_S)
        await asyncio.gather(*map(self._retire, self._arena.drain()))
        await self._client.close()

    # -- shared memory -------------------------------------------------------------------------------------------------

    async def _probe(self) -> bool:
        """Whether the server sees our shared memory: it can register a region whose name was drawn at random here."""
        region = Region(_ALIGNMENT)
        try:
            await self._register(region)
        except InferenceServerException as error:
            if error.status() in _PASSING_STATUS:
                raise ModelUnavailable("the model server does not answer", RETRY_AFTER_S) from error
            log.info("triton %s does not share memory with this process: pixels travel as bytes (%s)", self.url, error)
            return False
        finally:
            await self._retire(region)
        log.info("triton %s shares memory with this process", self.url)
        return True

    @asynccontextmanager
    async def _infer_shared(self, call: Call) -> AsyncGenerator[Mapping[str, Array]]:
        inputs, outputs, size = self._layout(call)
        try:
            region = self._arena.acquire(size)
        except OSError as error:
            raise ModelUnavailable(f"no shared memory is left for model {call.model}", RETRY_AFTER_S) from error
        # From here on exactly one of `_release`, `_discard` and an abandoned task gives the region back.
        try:
            if not region.is_registered:
                async with self._registering:
                    await self._register(region)
            for tensor in inputs:
                target = region.view(tensor.offset, tensor.shape, tensor.dtype)
                np.copyto(target.reshape(call.inputs[tensor.name].shape), call.inputs[tensor.name])
                del target
            request = asyncio.ensure_future(self._request(call, region, inputs, outputs))
        except InferenceServerException as error:
            self._discard(region)
            raise self._translate(error, call, region) from error
        except BaseException:
            self._discard(region)
            raise
        try:
            await asyncio.shield(request)
        except asyncio.CancelledError:
            # Triton may be writing to the region: it is given back only once the call has ended.
            self._abandon(self._give_back_after(request, region))
            raise
        except InferenceServerException as error:
            fault = self._translate(error, call, region)
            if error.status() == "StatusCode.DEADLINE_EXCEEDED":
                self._discard(region, is_over=False)
            else:
                await self._release(region)
            raise fault from error
        except ModelFault:
            await self._release(region)
            raise
        except BaseException:
            self._discard(region)
            raise
        views = {t.name: region.view(t.offset, call.outputs[t.name].shape, t.dtype) for t in outputs}
        try:
            yield views
        finally:
            views.clear()
            await self._release(region)

    def _layout(self, call: Call) -> tuple[list[_Tensor], list[_Tensor], int]:
        offset = 0
        tensors: list[list[_Tensor]] = [[], []]
        batch = (1,) if self._batched.get(call.model) else ()
        for kind, named in enumerate((call.inputs, call.outputs)):
            for name, array in named.items():
                dtype = np.dtype(array.dtype)
                tensor = _Tensor(name, offset, batch + tuple(array.shape), dtype)
                offset += -(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT
                tensors[kind].append(tensor)
        return tensors[0], tensors[1], offset

    async def _request(self, call: Call, region: Region, inputs: list[_Tensor], outputs: list[_Tensor]) -> None:
        sent: list[Any] = []
        for tensor in inputs:
            item: Any = InferInput(tensor.name, list(tensor.shape), np_to_triton_dtype(tensor.dtype.type))
            item.set_shared_memory(region.name, tensor.nbytes, offset=tensor.offset)
            sent.append(item)
        wanted: list[Any] = []
        for tensor in outputs:
            item = InferRequestedOutput(tensor.name)
            item.set_shared_memory(region.name, tensor.nbytes, offset=tensor.offset)
            wanted.append(item)
        answer = await self._client.infer(call.model, sent, outputs=wanted, headers=headers(), client_timeout=CALL_TIMEOUT_S)
        for tensor in outputs:
            got: Any = answer.get_output(tensor.name)
            _check(call.model, tensor.name, tuple(got.shape), str(got.datatype), tensor.shape, tensor.dtype)

    async def _give_back_after(self, request: asyncio.Future[None], region: Region) -> None:
        try:
            await request
        except Exception:  # of a call that nobody waits for any more
            self._discard(region)
        else:
            await self._release(region)

    def _abandon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._abandoned.add(task)
        task.add_done_callback(self._abandoned.discard)

    async def _register(self, region: Region) -> None:
        try:
            await self._client.register_system_shared_memory(
                region.name, f"/{region.name}", region.size, client_timeout=CONTROL_TIMEOUT_S
            )
        except InferenceServerException as error:
            if error.status() != "StatusCode.ALREADY_EXISTS":  # it only seemed to have been restarted
                raise
        region.is_registered = True

    def _discard(self, region: Region, *, is_over: bool = True) -> None:
        """Gives back a region that is never used again. Triton is told to forget it once the call `is_over`, not before:
        a model that still writes to it would write to nowhere."""
        self._arena.discard(region)
        if is_over:
            self._abandon(self._unregister(region))

    async def _release(self, region: Region) -> None:
        surplus = self._arena.release(region)
        if surplus is not None:
            await self._retire(surplus)

    async def _retire(self, region: Region) -> None:
        try:
            await self._unregister(region)
        finally:
            region.destroy()

    async def _unregister(self, region: Region) -> None:
        if not region.is_registered:
            return
        try:
            await self._client.unregister_system_shared_memory(region.name, client_timeout=CONTROL_TIMEOUT_S)
        except InferenceServerException as error:
            log.debug("triton %s did not unregister %s: %s", self.url, region.name, error)

    def _forget(self) -> None:
        """The server may have been restarted, here or elsewhere: it is asked again what it knows."""
        self._arena.forget()
        self._shares_memory = self._use_shared_memory

    # -- bytes ---------------------------------------------------------------------------------------------------------

    async def _infer_bytes(self, call: Call) -> Mapping[str, Array]:
        batch = (1,) if self._batched.get(call.model) else ()
        sent: list[Any] = []
        for name, array in call.inputs.items():
            item: Any = InferInput(name, [*batch, *array.shape], np_to_triton_dtype(array.dtype.type))
            item.set_data_from_numpy(np.ascontiguousarray(array).reshape((*batch, *array.shape)))
            sent.append(item)
        wanted: list[Any] = [InferRequestedOutput(name) for name in call.outputs]
        try:
            answer: Any = await self._client.infer(
                call.model, sent, outputs=wanted, headers=headers(), client_timeout=CALL_TIMEOUT_S
            )
        except InferenceServerException as error:
            raise self._translate(error, call, None) from error
        results: dict[str, Array] = {}
        for name, expected in call.outputs.items():
            got: Any = answer.get_output(name)
            _check(
                call.model,
                name,
                tuple(got.shape),
                str(got.datatype),
                (*batch, *expected.shape),
                np.dtype(expected.dtype),
            )
            results[name] = answer.as_numpy(name).reshape(expected.shape)
        return results

    def _translate(self, error: InferenceServerException, call: Call, region: Region | None) -> ModelUnavailable | ModelFault:
        message = str(error.message() or "")
        status = str(cast(Any, error).status())
        log.warning("model %s on triton %s: %s %s", call.model, self.url, status, message)
        if status == "StatusCode.UNAVAILABLE" or "shared memory region" in message.lower():
            self._forget()
            if region is not None:
                region.is_registered = False
        if status in _PASSING_STATUS or any(part in message.lower() for part in _PASSING):
            return ModelUnavailable(f"model {call.model} does not answer", RETRY_AFTER_S)
        return ModelFault(call.model, "the model server reports an error; see its log")


def _check(model: str, name: str, shape: tuple[int, ...], datatype: str, wanted: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    expected = np_to_triton_dtype(dtype.type)
    if shape != wanted or datatype != expected:
        raise ModelFault(model, f"output {name!r} is {datatype} {list(shape)}, expected {expected} {list(wanted)}")
