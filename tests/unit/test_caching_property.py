"""Readers and writers in every order: whoever begins to read after a write has ended does not get what was before it.

Each actor is a flow, advanced one effect at a time. DynamoDB takes two moments for a request: one when it is done, one
when its answer arrives; and so does Redis. What happens between them is drawn at random.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from dynamodb_wrapper import BaseDynamoRepository, DynamoDBConfig, DynamoDBWrapperError, ServerError
from dynamodb_wrapper.exceptions import WriteOutcomeUnknownError
from dynamodb_wrapper.operations import bulk, items
from dynamodb_wrapper.operations.batches import BatchOptions
from dynamodb_wrapper.operations.effects import Ask, Call, Flow, Join, Reading, Together
from dynamodb_wrapper.transport import invalidation
from dynamodb_wrapper.transport.caching import Cache

KEYS = ("a", "b")
CONFIG = DynamoDBConfig(environment="prod", region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s")


class Counter(BaseModel):
    name: str
    value: int


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Actor:
    """A flow under way.

    Attributes:
        process: In which process it runs.
        own: For a reader, the last writes of its process that had ended when it began, by key.
        least: The same for all processes; of a reading that it joined, when that began.
        outcome: What the effect it has asked for comes to, once that is decided.
    """

    flow: Flow[Any]
    process: int
    keys: tuple[str, ...]
    is_writer: bool
    own: dict[str, int] = field(default_factory=dict)
    least: dict[str, int] = field(default_factory=dict)
    effect: Any = None
    outcome: Any = None
    is_decided: bool = False


class World:
    """A table, the processes that use it through caches, and what they are doing."""

    def __init__(self, random: Random, entities: list[Any], clock: Clock, side: Any = None) -> None:
        self.random = random
        self.entities = entities
        self.clock = clock
        self.side = side
        self.stored = dict.fromkeys(KEYS, 0)
        self.own = [dict.fromkeys(KEYS, 0) for _ in entities]  # the last writes that have ended, by process
        self.all = dict.fromkeys(KEYS, 0)
        self.all_before: dict[Any, dict[str, int]] = {}  # the same when a reading began
        self.written = 0
        self.actors: list[Actor] = []

    def run(self, steps: int) -> None:
        for _ in range(steps):
            if len(self.actors) < 6 and self.random.random() < 0.3:
                self.begin()
            self.clock.now += self.random.choice((0, 0, 0.01, 1.5))
            ready = [actor for actor in self.actors if self.can_go_on(actor)]
            if ready:
                self.go_on(self.random.choice(ready))
        while self.actors:
            ready = [actor for actor in self.actors if self.can_go_on(actor)]
            self.go_on(self.random.choice(ready))

    def begin(self) -> None:
        process = self.random.randrange(len(self.entities))
        entity = self.entities[process]
        key = self.random.choice(KEYS)
        kind = self.random.choice(("get", "get", "get_many", "put"))
        if kind == "put":
            call = Call("PutItem", {"TableName": "counters", "Item": {"name": {"S": key}}})
            actor = Actor(
                invalidation.guarded(call, [(entity.cache, (call.params["Item"],))]), process, (key,), is_writer=True
            )
        elif kind == "get":
            actor = Actor(items.get(entity, (key, None), consistent=False), process, (key,), is_writer=False)
        else:
            flow = bulk.get_many(entity, KEYS, None, BatchOptions(1), consistent=False)
            actor = Actor(flow, process, KEYS, is_writer=False)
        actor.own, actor.least = dict(self.own[process]), dict(self.all)
        self.actors.append(actor)
        self.advance(actor, lambda: next(actor.flow))

    def can_go_on(self, actor: Actor) -> bool:
        effect = actor.effect
        return not isinstance(effect, Join) or len(self.actors) == 1 or all(_done(one) for one in effect.readings)

    def go_on(self, actor: Actor) -> None:
        if not actor.is_decided:
            actor.outcome = self.decide(actor)
            actor.is_decided = True
            return
        actor.is_decided = False
        if isinstance(actor.outcome, DynamoDBWrapperError):
            self.advance(actor, lambda: actor.flow.throw(actor.outcome))
        else:
            self.advance(actor, lambda: actor.flow.send(actor.outcome))

    def advance(self, actor: Actor, step: Any) -> None:
        try:
            actor.effect = step()
            self.look_for_readings()
            if isinstance(actor.effect, Join):
                for before in map(self.all_before.__getitem__, actor.effect.readings):
                    actor.least = {key: min(value, before[key]) for key, value in actor.least.items()}
        except StopIteration as end:
            self.actors.remove(actor)
            self.ended(actor, end.value)
        except DynamoDBWrapperError:
            self.actors.remove(actor)
            # It may have failed before it was applied; what was applied before it ended, nobody was told of.

    def ended(self, actor: Actor, result: Any) -> None:
        if actor.is_writer:
            knows_all = self.side is None or not self.side.was_away
            for known in (self.own[actor.process], *([self.all] if knows_all else [])):
                known[actor.keys[0]] = max(known[actor.keys[0]], result["value"])
            return
        for key, found in zip(actor.keys, result if isinstance(result, list) else [result], strict=True):
            value = 0 if found is None else found.value
            least = max(actor.least[key], actor.own[key])
            assert value >= least, f"{key} was {value} after a write of {least} had ended"

    def look_for_readings(self) -> None:
        for entity in self.entities:
            for shelf in entity.cache._shelves.values():
                for reading in shelf.flights.values():
                    self.all_before.setdefault(reading, dict(self.all))

    def decide(self, actor: Actor) -> Any:
        match actor.effect:
            case Call("PutItem", params):
                return self.put(params["Item"]["name"]["S"])
            case Call("GetItem", params):
                return ServerError("down") if self.random.random() < 0.05 else self.get(params["Key"]["name"]["S"])
            case Call("BatchGetItem", params):
                keys = [key["name"]["S"] for key in params["RequestItems"]["counters"]["Keys"]]
                found = (self.get(key).get("Item") for key in keys)
                return {"Responses": {"counters": [item for item in found if item is not None]}}
            case Join(readings):
                return [reading.future.result(0) if _done(reading) else None for reading in readings]
            case Ask(server, request):
                return server.ask(request)
            case Together(flows):
                return [self.at_once(actor, flow) for flow in flows]
        raise AssertionError(actor.effect)

    def at_once(self, actor: Actor, flow: Flow[Any]) -> Any:
        """Run a flow of a batch in one moment."""
        inner = Actor(flow, actor.process, actor.keys, is_writer=False)
        try:
            inner.effect = next(flow)
            while True:
                inner.effect = flow.send(self.decide(inner))
        except StopIteration as end:
            return end.value

    def put(self, key: str) -> Any:
        if self.random.random() < 0.1:
            return ServerError("refused")
        self.written += 1
        self.stored[key] = self.written
        if self.random.random() < 0.1:
            return WriteOutcomeUnknownError("lost")
        return {"value": self.written}

    def get(self, key: str) -> Any:
        value = self.stored[key]
        return {"Item": {"name": {"S": key}, "value": {"N": str(value)}}} if value else {}


def _done(reading: Reading) -> bool:
    return reading.future.done()


def entity_with(cache: Cache) -> Any:
    class Counters(BaseDynamoRepository[Counter]):
        table_name = "counters"
        primary_key = "name"

    Counters.cache = cache
    return Counters(CONFIG)._entity


@given(st.integers(0, 2**32))
def test_no_reading_after_a_write_gets_what_was_before_it(seed: int) -> None:
    clock = Clock()
    cache = Cache(ttl=20, negative_ttl=5, max_items=10)
    cache.timer = clock
    entity = entity_with(cache)
    World(Random(seed), [entity], clock).run(200)


class Toy:
    """As much of Redis as is used: held to the real one by tests/integration/test_redis_cache.py."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.kept: dict[bytes, tuple[bytes, float]] = {}
        self.is_away = self.was_away = False

    def get(self, key: bytes) -> bytes | None:
        value, until = self.kept.get(key, (b"", 0.0))
        return value if self.clock() < until else None

    def execute(self, name: str, *args: Any) -> Any:
        if name == "MGET":
            return [self.get(key) for key in args]
        if name == "DEL":
            return sum(self.kept.pop(key, None) is not None for key in args)
        assert name == "SET"
        key, value, *options = args
        if "NX" in options and self.get(key) is not None:
            return None
        self.kept[key] = (value, self.clock() + options[-1] / 1000 if "PX" in options else inf)
        return True

    @property
    def connection_pool(self) -> Toy:
        return self

    def disconnect(self, *, inuse_connections: bool) -> None: ...

    def pipeline(self, *, transaction: bool) -> Pipeline:
        assert not transaction
        return Pipeline(self)


class Pipeline:
    def __init__(self, toy: Toy) -> None:
        self.toy = toy
        self.commands: list[Any] = []

    def execute_command(self, *command: Any) -> None:
        self.commands.append(command)

    def execute(self) -> list[Any]:
        redis = pytest.importorskip("redis")
        if self.toy.is_away:
            self.toy.was_away = True
            raise redis.ConnectionError
        return [self.toy.execute(*command) for command in self.commands]


class Moody(World):
    """A world in which Redis goes away now and then, or loses everything."""

    def go_on(self, actor: Actor) -> None:
        mood = self.random.random()
        if mood < 0.02:
            self.side.is_away = not self.side.is_away
        elif mood < 0.025:
            self.side.kept.clear()
        super().go_on(actor)


@pytest.mark.parametrize("world", [World, Moody])
@given(seed=st.integers(0, 2**32))
def test_no_process_gets_what_was_before_a_write_of_another(world: type[World], seed: int) -> None:
    """With a Redis that was away, this holds for the process that wrote; the others are told when it is back.

    Who joins a reading of his process gets what that has read, if another process has written since it began.
    """
    pytest.importorskip("redis")
    from dynamodb_wrapper.integrations.redis import RedisCache

    clock = Clock()
    toy = Toy(clock)
    entities = []
    for _ in range(2):
        cache = RedisCache("redis://localhost", ttl=20, negative_ttl=5)
        cache.timer = cache.server._timer = clock
        cache.server._client = toy  # type: ignore[assignment]
        entities.append(entity_with(cache))
    world(Random(seed), entities, clock, toy).run(200)


def test_the_worlds_use_their_caches() -> None:
    """Else the tests above would show nothing."""
    clock = Clock()
    cache = Cache(ttl=20, negative_ttl=5, max_items=10)
    cache.timer = clock
    entity = entity_with(cache)
    for seed in range(20):
        World(Random(seed), [entity], clock).run(200)
    info = entity.cache.info()
    assert info.hits > 50
    assert info.shared > 50
    assert info.stale > 20
