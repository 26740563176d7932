"""Pools of model servers: who gets which call, and what becomes of servers that come, go, fail or disagree."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest

from retouch_server.errors import ModelUnavailable
from retouch_server.models import pools
from retouch_server.models.addresses import Address, parse_address, resolve
from retouch_server.models.backend import Call, Output
from retouch_server.models.dispatch import Dispatcher, RetryPolicy
from retouch_server.models.fake import FakeBackend
from retouch_server.models.pools import Pools
from retouch_server.models.spec import Kind, ModelSpec
from tests.support.gate import Gate
from tests.support.service import eventually

IMAGE = np.zeros((2, 2, 3), np.uint8)
FAST = ModelSpec("fast", Kind.INPAINT, "classical", versions=("1",), digest="f" * 64)
SLOW = ModelSpec("slow", Kind.INPAINT, "diffusion", versions=("1",), digest="5" * 64)
NEWER = replace(FAST, digest="e" * 64)


def call_of(model: str) -> Call:
    return Call(model, {"image": IMAGE}, {"image": Output(IMAGE.shape, np.uint8)})


class Server(FakeBackend):
    """A model server that can be away."""

    def __init__(self, *specs: ModelSpec, gate: Gate | None = None) -> None:
        super().__init__({spec.name: (spec, lambda inputs: inputs) for spec in specs}, gate=gate)  # type: ignore[arg-type]
        self.is_away = False
        self.is_closed = False
        self.asked = 0  # for its index

    async def specs(self) -> list[ModelSpec]:
        self.asked += 1
        if self.is_away:
            raise ModelUnavailable("away", 1.0)
        return await super().specs()

    async def close(self) -> None:
        assert self.running == 0
        self.is_closed = True


class Cluster:
    """Names, the addresses behind them, and the servers at these: what DNS and the network are to `Pools`."""

    def __init__(self, **names: dict[str, Server]) -> None:
        self.names = names
        self.servers = {address: server for pool in names.values() for address, server in pool.items()}
        self.pools = Pools([Address(name, 8001) for name in names], self.connect, self.resolve)
        self.dispatcher = Dispatcher(self.pools, RetryPolicy(first_s=0, most_s=0))

    def connect(self, url: str) -> Server:
        host, _, port = url.rpartition(":")
        assert port == "8001"
        return self.servers[host]

    async def resolve(self, name: Address) -> list[Address]:
        if not self.names[name.host]:
            raise OSError("no address")
        return [Address(address, name.port) for address in self.names[name.host]]

    def add(self, name: str, address: str, server: Server) -> Server:
        self.names[name][address] = self.servers[address] = server
        return server

    async def call(self, model: str, times: int = 1) -> None:
        for _ in range(times):
            async with self.dispatcher.infer(call_of(model)):
                pass

    async def names_served(self) -> list[str]:
        return [spec.name for spec in await self.pools.specs()]


def calls(*servers: Server) -> list[int]:
    """How many calls each got since it was asked last."""
    counts = [len(server.calls) for server in servers]
    for server in servers:
        server.calls.clear()
    return counts


@pytest.fixture
async def three() -> AsyncIterator[tuple[Cluster, list[Server]]]:
    """One pool of three replicas."""
    servers = [Server(FAST) for _ in range(3)]
    cluster = Cluster(fast={f"10.0.0.{number}": server for number, server in enumerate(servers)})
    await cluster.pools.specs()
    yield cluster, servers
    await cluster.pools.close()
    assert all(server.is_closed for server in servers)


async def test_all_replicas_of_a_pool_take_turns(three: tuple[Cluster, list[Server]]) -> None:
    cluster, servers = three
    await cluster.call("fast", 9)
    assert calls(*servers) == [3, 3, 3]


async def test_models_that_alternate_are_balanced_each_by_itself() -> None:
    servers = [Server(FAST, SLOW), Server(FAST, SLOW)]
    cluster = Cluster(all=dict(zip(("10.0.0.1", "10.0.0.2"), servers, strict=True)))
    await cluster.pools.specs()
    for _ in range(4):
        await cluster.call("fast")
        await cluster.call("slow")
    assert [Counter(server.calls) for server in servers] == [{"fast": 2, "slow": 2}] * 2


async def test_each_pool_serves_what_its_index_says_and_the_catalogue_is_the_union() -> None:
    both, slow = Server(FAST, SLOW), Server(SLOW)
    cluster = Cluster(main={"10.0.0.1": both}, diffusion={"10.0.1.1": slow})
    assert await cluster.names_served() == ["fast", "slow"]
    await cluster.call("fast", 4)
    assert calls(both, slow) == [4, 0]
    await cluster.call("slow", 4)
    assert calls(both, slow) == [2, 2]


async def test_a_model_that_is_ready_at_one_replica_only_is_ready() -> None:
    loading = ModelSpec("fast", Kind.UNKNOWN, "", is_ready=False, reason="loading")
    ready = Server(FAST)
    cluster = Cluster(fast={"10.0.0.1": Server(loading), "10.0.0.2": ready})
    assert await cluster.pools.specs() == [FAST]
    await cluster.call("fast", 3)
    assert calls(ready) == [3]
    ready.is_away = True
    assert await cluster.pools.specs() == [FAST], "what was served stays listed while its server is away"
    cluster.names["fast"].pop("10.0.0.2")
    assert await cluster.pools.specs() == [loading]


async def test_a_call_that_fails_is_made_at_another_replica_and_the_dead_one_is_skipped_at_once(
    three: tuple[Cluster, list[Server]],
) -> None:
    cluster, servers = three
    servers[1].faults.extend(ModelUnavailable("gone", 1.0) for _ in range(100))
    await cluster.call("fast", 30)
    first, dead, third = calls(*servers)
    assert (first + third, dead) == (30, 1)
    servers[1].faults.clear()


async def test_a_replica_whose_index_cannot_be_read_gets_no_call_until_it_can(three: tuple[Cluster, list[Server]]) -> None:
    cluster, servers = three
    servers[0].is_away = True
    await cluster.pools.specs()
    await cluster.call("fast", 6)
    assert calls(*servers) == [0, 3, 3]
    servers[0].is_away = False
    await cluster.pools.specs()
    await cluster.call("fast", 6)
    assert calls(*servers) == [2, 2, 2]


async def test_where_all_are_suspect_they_are_tried_all_the_same(three: tuple[Cluster, list[Server]]) -> None:
    cluster, servers = three
    for server in servers:
        server.is_away = True
    with pytest.raises(ModelUnavailable):
        await cluster.pools.specs()
    await cluster.call("fast", 3)
    assert calls(*servers) == [1, 1, 1]


async def test_a_new_address_gets_calls_and_one_that_is_gone_gets_none(three: tuple[Cluster, list[Server]]) -> None:
    cluster, servers = three
    new = cluster.add("fast", "10.0.0.9", Server(FAST))
    cluster.names["fast"].pop("10.0.0.0")
    await cluster.pools.specs()
    await cluster.call("fast", 6)
    assert calls(*servers, new) == [0, 2, 2, 2]
    await eventually(lambda: servers[0].is_closed)


async def test_a_server_whose_address_is_gone_finishes_its_calls_first() -> None:
    gate = Gate()
    gate.close()
    leaving = Server(FAST, gate=gate)
    cluster = Cluster(fast={"10.0.0.1": leaving})
    await cluster.pools.specs()
    call = asyncio.create_task(cluster.call("fast"))
    await gate.reached(1)
    cluster.names["fast"] = {}
    cluster.add("fast", "10.0.0.2", Server(FAST))
    await cluster.pools.specs()
    assert not leaving.is_closed
    gate.open()
    await call
    await eventually(lambda: leaving.is_closed)
    await cluster.pools.close()


async def test_a_name_that_does_not_resolve_keeps_its_addresses(three: tuple[Cluster, list[Server]]) -> None:
    cluster, servers = three
    cluster.names["fast"] = {}
    await cluster.pools.specs()
    await cluster.call("fast", 3)
    assert calls(*servers) == [1, 1, 1]


async def test_after_a_failure_names_and_indices_are_looked_at_without_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "LOOK_AGAIN_S", 0.01)
    old = Server(FAST)
    cluster = Cluster(fast={"10.0.0.1": old})
    await cluster.pools.specs()
    old.faults.extend(ModelUnavailable("gone", 1.0) for _ in range(1000))
    cluster.names["fast"] = {}
    new = cluster.add("fast", "10.0.0.2", Server(FAST))
    patient = Dispatcher(cluster.pools, RetryPolicy(first_s=0.02))
    async with patient.infer(call_of("fast")):
        assert calls(new) == [1]
    await cluster.pools.close()


async def test_a_server_that_is_back_is_known_within_a_second_and_the_others_are_left_alone(
    three: tuple[Cluster, list[Server]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "LOOK_AGAIN_S", 0.01)
    cluster, servers = three
    servers[0].is_away = True
    await cluster.pools.specs()
    asked = [server.asked for server in servers]
    await eventually(lambda: servers[0].asked > asked[0] + 3)
    servers[0].is_away = False
    await eventually(lambda: all(replica.is_well for replica in cluster.pools._replicas.values()))
    assert [server.asked for server in servers[1:]] == asked[1:]
    await cluster.call("fast", 6)
    assert calls(*servers) == [2, 2, 2]


async def test_a_model_that_nobody_serves_is_away() -> None:
    cluster = Cluster(fast={"10.0.0.1": Server(FAST)})
    await cluster.pools.specs()
    with pytest.raises(ModelUnavailable, match="no model server has slow ready"):
        async with cluster.pools.infer(call_of("slow")):
            pass
    await cluster.pools.close()


async def test_servers_that_differ_in_a_digest_are_not_mixed(caplog: pytest.LogCaptureFixture) -> None:
    """A rollout, replica by replica: there is one switch, when the most have the new one, and both are told of."""
    servers = [Server(FAST) for _ in range(4)]
    cluster = Cluster(fast={f"10.0.0.{number}": server for number, server in enumerate(servers)})
    await cluster.pools.specs()
    expected = [(FAST, [1, 1, 1, 1]), (FAST, [0, 2, 1, 1]), (FAST, [0, 0, 2, 2]), (NEWER, [2, 1, 1, 0]), (NEWER, [1, 1, 1, 1])]
    caplog.set_level(logging.WARNING, "retouch_server")
    for renewed, (winner, shares) in enumerate(expected):
        for server in servers[:renewed]:
            server._models = Server(NEWER)._models
        assert await cluster.pools.specs() == [winner]
        cluster.dispatcher._turns.clear()
        await cluster.call("fast", 4)
        assert calls(*servers) == shares
        await cluster.pools.specs()
    told = [record.message for record in caplog.records]
    assert len(told) == 2, "once when they differ, and once when the other one wins"
    assert "(digest ffffffffffff on 3, digest eeeeeeeeeeee on 1); those with ffffffffffff get" in told[0]
    assert told[1].endswith("those with eeeeeeeeeeee get its calls")
    await cluster.pools.close()


async def test_another_digest_is_not_called_before_the_catalogue_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its results would be kept under the old one."""
    monkeypatch.setattr(pools, "LOOK_AGAIN_S", 0.01)
    server = Server(FAST)
    cluster = Cluster(fast={"10.0.0.1": server})
    assert await cluster.pools.specs() == [FAST]
    server.faults.append(ModelUnavailable("restarting", 1.0))
    with pytest.raises(ModelUnavailable, match="restarting"):
        async with cluster.pools.infer(call_of("fast")):
            pass
    server._models = Server(NEWER)._models
    asked = server.asked
    await eventually(lambda: server.asked > asked)
    calls(server)
    with pytest.raises(ModelUnavailable, match="no model server has fast ready"):
        async with cluster.pools.infer(call_of("fast")):
            pass
    assert calls(server) == [0]
    assert await cluster.pools.specs() == [NEWER]
    await cluster.call("fast")
    assert calls(server) == [1]
    await cluster.pools.close()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("triton:8001", Address("triton", 8001)),
        (" 127.0.0.1:1 ", Address("127.0.0.1", 1)),
        ("[::1]:65535", Address("::1", 65535)),
        ("triton.models.svc.cluster.local.:8001", Address("triton.models.svc.cluster.local.", 8001)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text", ["", "triton", "triton:", ":8001", "triton:http", "triton:0", "triton:65536", "::1:80", "a://b:1"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not host:port"):
        parse_address(text)


async def test_the_systems_resolver_gives_numeric_addresses() -> None:
    assert Address("127.0.0.1", 8001) in await resolve(Address("localhost", 8001))
    with pytest.raises(OSError, match=r".+"):
        await resolve(Address("no-such-host.invalid", 8001))
