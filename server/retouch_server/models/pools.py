"""Many model servers as one backend: each call goes, in turn, to a server that has its model ready.

A pool is a name with any number of addresses behind it, as a headless Kubernetes Service has; each address is a server of its
own, a replica. A replica serves what its own index says, whichever pool it is in: so one pool may have all models and another
one only the slow ones, and several may have the same.

- Names are resolved anew and every index is read again each time that `specs` is called, which the catalogue does every few
  seconds. From a failure on names are resolved every second, and the replicas that are not well are asked, until all are. A
  replica that is new gets its share from then on; one whose address is gone finishes its calls and is let go. A name that
  does not resolve keeps the addresses that it had.
- A replica at which a call failed gets no more calls of that model until its index has been read again; one whose index
  cannot be read gets none at all. Where no other replica is left those are tried all the same: they may be back.
- Replicas that describe a model differently (another digest, say, in the midst of a rollout) are not mixed: results are kept
  by the digest. The description that most replicas give wins, in a tie the one in use, and only those replicas get calls.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field

from retouch_server.errors import ModelUnavailable
from retouch_server.models.addresses import Address, Resolve, resolve
from retouch_server.models.backend import Array, Call, ModelServer
from retouch_server.models.spec import ModelSpec

log = logging.getLogger(__name__)

RETRY_AFTER_S = 2.0
LOOK_AGAIN_S = 1.0
"""How often those that are not well are looked at."""


@dataclass(eq=False, slots=True)
class _Replica:
    """One server, and what is known of it. `specs`: as it last said, by name; kept while it does not answer."""

    address: Address
    server: ModelServer
    specs: dict[str, ModelSpec] = field(default_factory=dict[str, ModelSpec])
    is_up: bool = False
    suspects: set[str] = field(default_factory=set[str])  # models of which a call failed since the index was read
    calls: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_well(self) -> bool:
        """Whether its index was read, and no call has failed since."""
        return self.is_up and not self.suspects

    async def look(self) -> None:
        """Reads the index."""
        try:
            specs = await self.server.specs()
        except ModelUnavailable as error:
            if self.is_up:
                log.warning("triton %s does not answer: %s", self.address, error.__cause__ or error)
            self.is_up = False
            return
        if not self.is_up:
            log.info("triton %s answers and has %d models", self.address, len(specs))
        self.is_up = True
        self.specs = {spec.name: spec for spec in specs}
        self.suspects.clear()

    async def let_go(self) -> None:
        """Waits for the calls that are under way, and closes."""
        while self.calls:
            self.idle.clear()
            await self.idle.wait()
        await self.server.close()


class Pools:
    """A ModelBackend over the servers behind `names`. `connect` makes a server of a numeric address."""

    def __init__(self, names: Sequence[Address], connect: Callable[[str], ModelServer], resolve: Resolve = resolve) -> None:
        self._found: dict[Address, list[Address]] = {name: [] for name in names}
        self._unresolved: set[Address] = set()
        self._connect = connect
        self._resolve = resolve
        self._replicas: dict[Address, _Replica] = {}
        self._specs: dict[str, ModelSpec] = {}
        self._serving: dict[str, list[_Replica]] = {}
        self._disputes: dict[str, tuple[frozenset[ModelSpec], ModelSpec]] = {}  # what differs, and what won
        self._looking = asyncio.Lock()
        self._mending: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    async def specs(self) -> list[ModelSpec]:
        """All models, after a look at every name and index. Errors: ModelUnavailable where no server answers."""
        await self._look(lambda replica: True)
        if not self._is_well():
            self._mend()
        if not any(replica.is_up for replica in self._replicas.values()):
            raise ModelUnavailable("no model server answers", RETRY_AFTER_S)
        # Nothing is awaited from here on: the caller must know of another digest before anybody is called by it.
        self._elect()
        self._assign()
        return [self._specs[name] for name in sorted(self._specs)]

    @asynccontextmanager
    async def infer(self, call: Call, *, turn: int = 0) -> AsyncGenerator[Mapping[str, Array]]:
        """As `ModelBackend.infer`."""
        replica = self._choose(call.model, turn)
        if replica is None:
            self._mend()
            raise ModelUnavailable(f"no model server has {call.model} ready", RETRY_AFTER_S)
        replica.calls += 1
        try:
            async with AsyncExitStack() as stack:
                try:
                    outputs = await stack.enter_async_context(replica.server.infer(call))
                except ModelUnavailable:
                    replica.suspects.add(call.model)
                    self._mend()
                    raise
                yield outputs
        finally:
            replica.calls -= 1
            replica.idle.set()

    async def close(self) -> None:
        """Waits for what still runs and closes every server."""
        if self._mending is not None:
            self._mending.cancel()
            await asyncio.gather(self._mending, return_exceptions=True)
        await asyncio.gather(*self._leaving, *(replica.let_go() for replica in self._replicas.values()))

    def _choose(self, model: str, turn: int) -> _Replica | None:
        serving = self._serving.get(model, [])
        candidates = [replica for replica in serving if replica.is_up and model not in replica.suspects] or serving
        return candidates[turn % len(candidates)] if candidates else None

    def _is_well(self) -> bool:
        return all(replica.is_well for replica in self._replicas.values())

    def _mend(self) -> None:
        """Looks at what is not well, from a second from now on until all is."""

        async def mend() -> None:
            is_well = False
            while not is_well:
                await asyncio.sleep(LOOK_AGAIN_S)
                await self._look(lambda replica: not replica.is_well)
                is_well = self._is_well()

        if self._mending is None or self._mending.done():
            # In a context of its own: it is no part of the edit whose call failed, neither in the log nor in a trace.
            self._mending = asyncio.create_task(mend(), context=Context())

    async def _look(self, which: Callable[[_Replica], bool]) -> None:
        """Resolves all names, and reads the indices of some replicas."""
        async with self._looking:
            await asyncio.gather(*map(self._look_up, self._found))
            self._replace({address for found in self._found.values() for address in found})
            self._assign()  # before anybody calls one that is let go
            await asyncio.gather(*(replica.look() for replica in self._replicas.values() if which(replica)))
            self._assign()

    async def _look_up(self, name: Address) -> None:
        try:
            self._found[name] = await self._resolve(name)
            self._unresolved.discard(name)
        except OSError as error:
            if name not in self._unresolved:
                log.warning("%s does not resolve, and keeps its %d addresses: %s", name, len(self._found[name]), error)
            self._unresolved.add(name)

    def _replace(self, addresses: set[Address]) -> None:
        """Replicas for the addresses that are new; those whose address is gone are let go."""
        for address in sorted(addresses - self._replicas.keys()):
            self._replicas[address] = _Replica(address, self._connect(str(address)))
        for address in self._replicas.keys() - addresses:
            log.info("triton %s is gone from its pool", address)
            task = asyncio.create_task(self._replicas.pop(address).let_go())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    def _assign(self) -> None:
        """Who serves the models as they were elected."""
        self._serving = {
            name: [replica for replica in self._replicas.values() if replica.specs.get(name) == spec]
            for name, spec in self._specs.items()
        }

    def _elect(self) -> None:
        """What is served under each name: replicas that answer are heard first, then those that did."""
        said: dict[str, Counter[ModelSpec]] = {}
        for is_up in (True, False):
            heard = [replica for replica in self._replicas.values() if replica.is_up == is_up]
            found: dict[str, Counter[ModelSpec]] = {}
            for spec in (spec for replica in heard for spec in replica.specs.values() if spec.is_ready):
                found.setdefault(spec.name, Counter())[spec] += 1
            said = found | said
        specs = {name: self._winner(name, votes) for name, votes in said.items()}
        for spec in (spec for replica in self._replicas.values() for spec in replica.specs.values()):
            specs.setdefault(spec.name, spec)  # ready nowhere
        self._specs = specs

    def _winner(self, name: str, votes: Counter[ModelSpec]) -> ModelSpec:
        winner = max(votes, key=lambda spec: (votes[spec], spec == self._specs.get(name)))
        dispute = (frozenset(votes), winner)
        if len(votes) == 1:
            self._disputes.pop(name, None)
        elif self._disputes.get(name) != dispute:
            self._disputes[name] = dispute
            told = ", ".join(f"digest {spec.digest[:12] or 'none'} on {count}" for spec, count in votes.most_common())
            log.warning(
                "model %s differs between model servers (%s); those with %s get its calls", name, told, winner.digest[:12]
            )
        return winner
