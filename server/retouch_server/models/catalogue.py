"""What is served, kept fresh."""

import asyncio
import logging
from collections.abc import Callable

from retouch_server.errors import ModelNotServed, ModelUnavailable
from retouch_server.models.backend import ModelBackend
from retouch_server.models.spec import Kind, ModelSpec

log = logging.getLogger(__name__)

REFRESH_S = 5.0


class Catalogue:
    """The models that the backend serves, read at start and then every few seconds: a new model needs no restart.

    While the backend is away the last known models stay listed and `is_reachable` is False.
    """

    def __init__(self, backend: ModelBackend, on_change: Callable[[bool], None] = lambda reachable: None) -> None:
        self._backend = backend
        self._on_change = on_change
        self._specs: dict[str, ModelSpec] = {}
        self.is_reachable = False

    @property
    def specs(self) -> list[ModelSpec]:
        """All, by name."""
        return list(self._specs.values())

    def spec(self, name: str) -> ModelSpec | None:
        """What is served under `name`, ready or not; None: nothing."""
        return self._specs.get(name)

    async def refresh(self) -> list[ModelSpec]:
        """Asks the backend now. Errors: ModelUnavailable."""
        try:
            specs = await self._backend.specs()
        except ModelUnavailable:
            self.is_reachable = False
            self._on_change(False)
            raise
        self._specs = {spec.name: spec for spec in specs}
        self.is_reachable = True
        self._on_change(True)
        return specs

    async def keep_fresh(self) -> None:
        """Refreshes until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_S)
            try:
                await self.refresh()
            except ModelUnavailable:
                log.warning("the model server does not answer")

    def get(self, name: str, kind: Kind) -> ModelSpec:
        """The ready model `name` of that kind. Errors: ModelNotServed, naming those that are."""
        spec = self._specs.get(name)
        if spec is None or spec.kind != kind or not spec.is_ready:
            raise ModelNotServed(f"{kind} model {name!r}", self._names(kind))
        return spec

    def find(self, kind: Kind, *, methods: tuple[str, ...] = (), scale: int = 1) -> ModelSpec | None:
        """The first ready model of that kind and scale, in the order of `methods` (any when empty); None when there is none.

        Of several with one method the preferred, as imported models are, else the first by name.
        """
        fitting = [s for s in self._specs.values() if s.kind == kind and s.scale == scale and s.is_ready]
        fitting.sort(key=lambda spec: -spec.preference)
        if not methods:
            return fitting[0] if fitting else None
        return next((s for method in methods for s in fitting if s.method == method), None)

    def require(self, kind: Kind, *, methods: tuple[str, ...] = (), scale: int = 1) -> ModelSpec:
        """As `find`. Errors: ModelNotServed, naming those that are."""
        spec = self.find(kind, methods=methods, scale=scale)
        if spec is None:
            wanted = f"{' or '.join(methods) or 'a'} {kind} model" + (f" of scale {scale}" if scale != 1 else "")
            raise ModelNotServed(wanted, self._names(kind))
        return spec

    def _names(self, kind: Kind) -> list[str]:
        return [spec.name for spec in self._specs.values() if spec.kind == kind and spec.is_ready]
