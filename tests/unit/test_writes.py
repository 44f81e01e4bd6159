"""Writes whose answer is lost: what is made of it, by hand, and end to end over a lane that applies and then fails."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import (
    Add,
    Append,
    BaseDynamoRepository,
    ConditionFailedError,
    ConnectionError,
    DynamoDBConfig,
    DynamoDBWrapperError,
    F,
    ItemAlreadyExistsError,
    ItemNotFoundError,
    VersionConflictError,
    WriteOutcomeUnknownError,
)
from dynamodb_wrapper.codec import TimeRules
from dynamodb_wrapper.operations import items, patches
from dynamodb_wrapper.operations.effects import Call, Flow, Now, Response
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.transport import RetryPolicy, SyncDriver, connection_for, drop_embedded
from dynamodb_wrapper.transport.failures import Hint, Verdict, hinted

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOON_STORED = {"S": "2026-11-01T12:00:00.000000+00:00"}
LATER_STORED = {"S": "2026-11-01T12:00:00.000001+00:00"}


class Plain(BaseModel):
    id: str
    count: int = 0
    words: list[str] = []
    tags: set[str] = set()


class Timed(Plain):
    created_at: datetime | None = None
    updated_at: datetime | None = None


class Touched(Plain):
    updated_at: datetime | None = None


class Versioned(Plain):
    version: int = 0


class Full(Timed):
    version: int = 0


class Plains(BaseDynamoRepository[Plain]):
    table_name = "things"
    primary_key = "id"


class Timeds(BaseDynamoRepository[Timed]):
    table_name = "things"
    primary_key = "id"


class Toucheds(BaseDynamoRepository[Touched]):
    table_name = "things"
    primary_key = "id"


class Versioneds(BaseDynamoRepository[Versioned]):
    table_name = "things"
    primary_key = "id"
    version_attribute = "version"


class Fulls(BaseDynamoRepository[Full]):
    table_name = "things"
    primary_key = "id"
    version_attribute = "version"


def entity_of(repository: type[BaseDynamoRepository[Any]], model: type[BaseModel]) -> Entity[Any]:
    declaration = repository._declaration
    assert declaration is not None
    return Entity("things", declaration, declaration.codec_for(model, TimeRules()))


PLAIN, TIMED = entity_of(Plains, Plain), entity_of(Timeds, Timed)
TOUCHED, VERSIONED, FULL = entity_of(Toucheds, Touched), entity_of(Versioneds, Versioned), entity_of(Fulls, Full)


# --- by hand ---------------------------------------------------------------------------------------------------------


def play(flow: Flow[Any], *answers: Response | Exception) -> tuple[Any, list[str]]:
    """Return the result (or the error) of a flow whose calls have these answers, and the operations it sent."""
    remaining, sent = list(answers), []
    try:
        effect = next(flow)
        while True:
            if isinstance(effect, Now):
                effect = flow.send(NOON)
                continue
            assert isinstance(effect, Call)
            sent.append(effect.operation)
            answer = remaining.pop(0)
            effect = flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)
    except StopIteration as end:
        assert remaining == []
        return end.value, sent
    except DynamoDBWrapperError as error:
        assert remaining == []
        return error, sent


def refused(item: dict[str, Any] | None, *, lost: int = 1) -> ConditionFailedError:
    """A failed condition after a lost answer, as the transport raises it."""
    context = {"lost_answers": lost} if lost else {}
    error = ConditionFailedError("The conditional request failed", context=context, item=item)
    return error.answered(operation="PutItem", request_id="R1", code="ConditionalCheckFailedException")


def unknown() -> WriteOutcomeUnknownError:
    return WriteOutcomeUnknownError("lost", ConnectionError("reset"), {"lost_answers": 1}, key={"id": "a"})


def stored(**attributes: Any) -> dict[str, Any]:
    return {"id": {"S": "a"}, **attributes}


MINE = stored(created_at=NOON_STORED, updated_at=NOON_STORED)
UPDATED_SINCE = stored(created_at=NOON_STORED, updated_at=LATER_STORED)
THEIRS = stored(created_at=LATER_STORED, updated_at=LATER_STORED)


@pytest.mark.parametrize("item", [MINE, UPDATED_SINCE])
def test_a_create_that_finds_its_own_item_has_succeeded(item: dict[str, Any]) -> None:
    model = Timed(id="a")
    result, sent = play(items.create(TIMED, model), refused(item))
    assert result is model
    assert model.created_at == NOON
    assert sent == ["PutItem"]


def test_a_create_that_finds_another_writers_item_has_not() -> None:
    assert isinstance(play(items.create(TIMED, Timed(id="a")), refused(THEIRS))[0], ItemAlreadyExistsError)


def test_a_create_without_a_lost_answer_never_takes_the_stored_item_for_its_own() -> None:
    assert isinstance(play(items.create(TIMED, Timed(id="a")), refused(MINE, lost=0))[0], ItemAlreadyExistsError)


@pytest.mark.parametrize("item", [None, stored()])
def test_a_create_without_times_cannot_tell(item: dict[str, Any] | None) -> None:
    error, _ = play(items.create(PLAIN, Plain(id="a")), refused(item))
    assert isinstance(error, WriteOutcomeUnknownError)
    assert error.key == {"id": "a"}
    assert error.context["lost_answers"] == 1


def test_a_create_whose_only_time_has_moved_cannot_tell() -> None:
    assert play(items.create(TOUCHED, Touched(id="a")), refused(stored(updated_at=NOON_STORED)))[1] == ["PutItem"]
    error, _ = play(items.create(TOUCHED, Touched(id="a")), refused(stored(updated_at=LATER_STORED)))
    assert isinstance(error, WriteOutcomeUnknownError), "created by another, or by this write and then updated"
    given = Timed(id="a", created_at=NOON)
    assert isinstance(play(items.create(TIMED, given), refused(UPDATED_SINCE))[0], WriteOutcomeUnknownError)


def test_an_update_that_finds_its_own_version_has_succeeded() -> None:
    model = Full(id="a", version=3, created_at=NOON)
    result, _ = play(items.update(FULL, model), refused(stored(version={"N": "4"}, updated_at=NOON_STORED)))
    assert result is model
    assert model.version == 4


def test_an_update_that_finds_the_next_version_of_another_writer_has_not() -> None:
    item = stored(version={"N": "4"}, updated_at=LATER_STORED)
    error, _ = play(items.update(FULL, Full(id="a", version=3, created_at=NOON)), refused(item))
    assert isinstance(error, VersionConflictError)
    assert error.item.version == 4


@pytest.mark.parametrize("version", ["2", "5"])
def test_an_update_that_finds_a_later_or_an_earlier_version_cannot_tell(version: str) -> None:
    item = stored(version={"N": version}, updated_at=LATER_STORED)
    error, _ = play(items.update(FULL, Full(id="a", version=3, created_at=NOON)), refused(item))
    assert isinstance(error, WriteOutcomeUnknownError)


@pytest.mark.parametrize("item", [None, stored(version={"N": "4"})])
def test_a_versioned_update_without_times_cannot_tell(item: dict[str, Any] | None) -> None:
    error, _ = play(items.update(VERSIONED, Versioned(id="a", version=3)), refused(item))
    assert isinstance(error, WriteOutcomeUnknownError)


def test_an_update_of_what_is_gone_is_not_found_when_only_its_presence_was_asked_for() -> None:
    assert isinstance(play(items.update(TIMED, Timed(id="a")), refused(None))[0], ItemNotFoundError)


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        (stored(version={"N": "1"}, created_at=NOON_STORED, updated_at=NOON_STORED), Full),
        (stored(version={"N": "1"}, created_at=LATER_STORED, updated_at=LATER_STORED), VersionConflictError),
        (stored(version={"N": "2"}, created_at=NOON_STORED, updated_at=LATER_STORED), WriteOutcomeUnknownError),
    ],
)
def test_a_versioned_put_of_a_new_model(item: dict[str, Any], kind: type) -> None:
    assert isinstance(play(items.put(FULL, Full(id="a")), refused(item))[0], kind)


def test_a_patch_that_finds_its_own_time_has_succeeded() -> None:
    item = stored(count={"N": "5"}, updated_at=NOON_STORED)
    result, _ = play(patch(TIMED, {"count": 5}, when=F.count == 0), refused(item))
    assert result.count == 5


@pytest.mark.parametrize(
    ("entity", "item", "when", "kind"),
    [
        (TIMED, stored(count={"N": "5"}, updated_at=LATER_STORED), F.count == 0, WriteOutcomeUnknownError),
        (PLAIN, stored(count={"N": "5"}), F.count == 0, WriteOutcomeUnknownError),
        (TIMED, None, F.count == 0, WriteOutcomeUnknownError),
        (TIMED, None, None, ItemNotFoundError),
    ],
)
def test_a_patch_that_finds_anything_else(entity: Entity[Any], item: Any, when: Any, kind: type) -> None:
    assert isinstance(play(patch(entity, {"count": 5}, when=when), refused(item))[0], kind)


def test_a_patch_that_is_not_repeatable_is_read_back_consistently() -> None:
    item = stored(count={"N": "1"}, updated_at=NOON_STORED)
    flow = patch(TIMED, {"count": Add(1)})
    sent = []
    effect = next(flow)
    assert isinstance(effect, Now)
    sent.append(flow.send(NOON))
    sent.append(flow.throw(unknown()))
    with pytest.raises(StopIteration) as end:
        flow.send({"Item": item})
    assert [call.operation for call in sent] == ["UpdateItem", "GetItem"]
    assert not sent[0].repeatable
    assert sent[1].params["ConsistentRead"] is True
    assert end.value.value.count == 1


@pytest.mark.parametrize(
    "read_back",
    [{}, {"Item": stored(count={"N": "1"}, updated_at=LATER_STORED)}, ConnectionError("still away")],
    ids=["gone", "another writer's", "not readable"],
)
def test_a_patch_that_cannot_be_found_again_is_unknown(read_back: Any) -> None:
    error, sent = play(patch(TIMED, {"count": Add(1)}), unknown(), read_back)
    assert isinstance(error, WriteOutcomeUnknownError)
    assert error.key == {"id": "a"}
    assert sent == ["UpdateItem", "GetItem"]


def test_a_repeatable_write_given_up_after_a_lost_answer_is_not_read_back() -> None:
    for flow in (items.put(TIMED, Timed(id="a")), patch(TIMED, {"count": 5}), delete(TIMED)):
        error, sent = play(flow, unknown())
        assert isinstance(error, WriteOutcomeUnknownError)
        assert len(sent) == 1


@pytest.mark.parametrize(
    ("change", "repeatable"),
    [({"count": 5}, True), ({"tags": Add({"x"})}, True), ({"count": Add(1)}, False), ({"words": Append("x")}, False)],
)
def test_what_may_be_sent_again(change: dict[str, Any], repeatable: bool) -> None:
    for entity, is_repeatable in ((PLAIN, repeatable), (VERSIONED, False)):
        flow = patch(entity, change)
        effect = next(flow)
        assert isinstance(effect, Call)
        assert effect.repeatable is is_repeatable
        flow.close()


def test_a_conditional_delete_of_what_is_gone_cannot_tell() -> None:
    assert isinstance(play(delete(TIMED, F.count == 0), refused(None))[0], WriteOutcomeUnknownError)
    there = play(delete(TIMED, F.count == 0), refused(stored(count={"N": "1"})))[0]
    assert type(there) is ConditionFailedError


def patch(entity: Entity[Any], fields: dict[str, Any], when: Any = None) -> Flow[Any]:
    return patches.patch(entity, ("a", None), None, fields, when=when, upsert=False)


def delete(entity: Entity[Any], when: Any = None) -> Flow[bool]:
    return items.delete(entity, ("a", None), when=when)


# --- end to end ------------------------------------------------------------------------------------------------------


class LossyLane:
    """Applies every call, and then loses the answers to so many writes; others may write in between."""

    def __init__(self, config: DynamoDBConfig, lose: int, between: Callable[[], object]) -> None:
        self._lane = connection_for(config)._lane
        self._lose = lose
        self._between = between
        self.writes = 0

    def send(self, call: Call, time_left: float | None = None) -> Response:
        answer = self._lane.send(call)
        if call.operation in ("PutItem", "UpdateItem", "DeleteItem"):
            self.writes += 1
            if self.writes <= self._lose:
                if self.writes == 1:
                    self._between()
                raise hinted(ConnectionError("the connection was reset"), Hint(Verdict.LOST))
        return answer


class Lossy:
    """A repository class on an empty embedded server: one that loses answers, and one that does not."""

    def __init__(
        self,
        kind: type[BaseDynamoRepository[Any]],
        *,
        lose: int = 1,
        between: Callable[[BaseDynamoRepository[Any]], object] = lambda there: None,
    ) -> None:
        self.config = DynamoDBConfig.embedded()
        self.there = kind(self.config)
        self.there.ensure_table()
        self.lane = LossyLane(self.config, lose, lambda: between(self.there))
        self.here = kind(self.config)
        self.here._driver = SyncDriver(self.lane, RetryPolicy(jitter=lambda: 0.0))

    def close(self) -> None:
        drop_embedded(str(self.config.endpoint_url).partition("://")[2])


@pytest.fixture
def lossy(request: pytest.FixtureRequest) -> Callable[..., Lossy]:
    def make(*args: Any, **options: Any) -> Lossy:
        made = Lossy(*args, **options)
        request.addfinalizer(made.close)
        return made

    return make


Make = Callable[..., Lossy]


@pytest.mark.parametrize(("kind", "model"), [(Timeds, Timed), (Fulls, Full), (Toucheds, Touched)])
def test_create_succeeds_once(lossy: Make, kind: Any, model: Any) -> None:
    shop = lossy(kind)
    created = shop.here.create(model(id="a", count=7))
    assert shop.there.get("a", consistent=True) == created
    assert shop.lane.writes == 1, "the second try was refused: it did not write"


@pytest.mark.parametrize(("kind", "model"), [(Plains, Plain), (Versioneds, Versioned)])
def test_create_without_times_says_that_it_does_not_know(lossy: Make, kind: Any, model: Any) -> None:
    shop = lossy(kind)
    with pytest.raises(WriteOutcomeUnknownError, match="what is stored does not tell") as caught:
        shop.here.create(model(id="a"))
    assert caught.value.key == {"id": "a"}


def test_create_over_an_item_that_appeared_in_between(lossy: Make) -> None:
    shop = lossy(Timeds, between=lambda there: (there.delete("a"), there.create(Timed(id="a", count=1))))
    with pytest.raises(ItemAlreadyExistsError) as caught:
        shop.here.create(Timed(id="a", count=7))
    assert caught.value.item.count == 1


def test_create_that_another_writer_has_built_on(lossy: Make) -> None:
    shop = lossy(Timeds, between=lambda there: there.patch("a", count=Add(1)))
    shop.here.create(Timed(id="a", count=7))
    assert shop.there.get_or_raise("a").count == 8


@pytest.mark.parametrize(("kind", "model"), [(Plains, Plain), (Timeds, Timed), (Fulls, Full)])
@pytest.mark.parametrize("lose", [1, 2, 3])
def test_put_and_update_are_applied_once(lossy: Make, kind: Any, model: Any, lose: int) -> None:
    shop = lossy(kind, lose=lose)
    there = shop.there.create(model(id="a"))
    there.count = 7
    shop.here.put(there)
    assert shop.there.get("a", consistent=True) == there
    shop = lossy(kind, lose=lose)
    there = shop.there.create(model(id="a"))
    there.count = 7
    shop.here.update(there)
    assert shop.there.get("a", consistent=True) == there
    assert getattr(there, "version", 2) == 2


def test_update_of_a_version_that_another_writer_took_in_between(lossy: Make) -> None:
    shop = lossy(Fulls, between=lambda there: there.patch("a", words=["theirs"]))
    mine = shop.there.create(Full(id="a"))
    mine.count = 7
    with pytest.raises(WriteOutcomeUnknownError):
        shop.here.update(mine)
    assert shop.there.get_or_raise("a").count == 7, "it was applied, and then another version put on it"
    assert mine.version == 1


@pytest.mark.parametrize(
    ("kind", "model", "changes", "when"),
    [
        (Plains, Plain, {"count": 5}, None),
        (Plains, Plain, {"tags": Add({"x"})}, None),
        (Timeds, Timed, {"count": Add(5)}, None),
        (Timeds, Timed, {"count": Add(5)}, F.count == 0),
        (Timeds, Timed, {"count": 5}, F.count == 0),
        (Timeds, Timed, {"words": Append("x")}, None),
        (Fulls, Full, {"count": 5}, None),
        (Fulls, Full, {"count": Add(5)}, F.version == 1),
    ],
)
def test_patch_is_applied_once(lossy: Make, kind: Any, model: Any, changes: dict[str, Any], when: Any) -> None:
    shop = lossy(kind)
    shop.there.create(model(id="a"))
    patched = shop.here.patch("a", when=when, **changes)
    assert shop.there.get("a", consistent=True) == patched
    assert (patched.count, patched.tags, patched.words) in [(5, set(), []), (0, {"x"}, []), (0, set(), ["x"])]
    assert getattr(patched, "version", 2) == 2


@pytest.mark.parametrize(
    ("kind", "model", "changes", "when"),
    [
        (Plains, Plain, {"count": Add(5)}, None),
        (Plains, Plain, {"count": 5}, F.count == 0),
        (Versioneds, Versioned, {"count": 5}, None),
    ],
)
def test_patch_that_cannot_tell_says_so_and_was_applied_at_most_once(
    lossy: Make, kind: Any, model: Any, changes: dict[str, Any], when: Any
) -> None:
    shop = lossy(kind)
    shop.there.create(model(id="a"))
    with pytest.raises(WriteOutcomeUnknownError):
        shop.here.patch("a", when=when, **changes)
    assert shop.there.get_or_raise("a").count == 5
    assert shop.lane.writes == 1


def test_patch_that_another_writer_has_built_on_cannot_tell(lossy: Make) -> None:
    shop = lossy(Timeds, between=lambda there: there.patch("a", count=Add(1)))
    shop.there.create(Timed(id="a"))
    with pytest.raises(WriteOutcomeUnknownError):
        shop.here.patch("a", count=Add(5))
    assert shop.there.get_or_raise("a").count == 6


def test_delete(lossy: Make) -> None:
    shop = lossy(Plains)
    shop.there.create(Plain(id="a"))
    assert shop.here.delete("a") is False, "as documented: the first try deleted it"
    assert not shop.there.exists("a")
    shop = lossy(Plains)
    shop.there.create(Plain(id="a"))
    with pytest.raises(WriteOutcomeUnknownError):
        shop.here.delete("a", when=F.count == 0)
    assert not shop.there.exists("a")


@pytest.mark.parametrize("write", ["put", "patch", "delete", "create"])
def test_a_write_given_up_is_unknown_and_an_outage_for_who_handles_outages(lossy: Make, write: str) -> None:
    shop = lossy(Plains, lose=99)
    if write != "create":
        shop.there.create(Plain(id="a"))
    attempts = {
        "put": lambda: shop.here.put(Plain(id="a", count=7)),
        "patch": lambda: shop.here.patch("a", count=7),
        "delete": lambda: shop.here.delete("a"),
        "create": lambda: shop.here.create(Plain(id="a", count=7)),
    }
    with pytest.raises(ConnectionError) as caught:
        attempts[write]()
    assert isinstance(caught.value, WriteOutcomeUnknownError)
    assert caught.value.key == {"id": "a"}
    if write != "create":  # whose second try is refused
        assert caught.value.context["lost_answers"] == caught.value.context["attempts"] == 4
        assert type(caught.value.original_error) is ConnectionError
