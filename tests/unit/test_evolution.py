"""Schema versions without a server: declarations, upcasters, reading in one pass, and the flows driven by hand."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from dynamodb_wrapper import BaseDynamoRepository, DeclarationError, DynamoDBConfig, Unique, ValidationError
from dynamodb_wrapper.codec import Item, SchemaOptions, read_any, to_json
from dynamodb_wrapper.exceptions import (
    AccessDeniedError,
    ConditionFailedError,
    InvalidCursorError,
    SchemaVersionError,
    ThrottlingError,
    WriteOutcomeUnknownError,
)
from dynamodb_wrapper.operations import evolving, items, migrations, patches
from dynamodb_wrapper.operations.copies import Copying, is_same
from dynamodb_wrapper.operations.effects import Call, Effect, Flow, Now, Sleep, Together
from dynamodb_wrapper.operations.evolving import Outcome
from dynamodb_wrapper.operations.passes import PassOptions
from dynamodb_wrapper.operations.versions import pruned
from tests.unit.test_one_pass import WIRES

CONFIG = DynamoDBConfig.embedded("evolution-unit")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Address(BaseModel):
    city: str
    zip: str | None = None


class Person(BaseModel):
    id: str
    full_name: str
    cents: int = 0
    address: Address | None = None
    tags: set[str] = Field(default_factory=set)


class People(BaseDynamoRepository[Person]):
    table_name = "people"
    primary_key = "id"
    schema_version = 3
    rate: ClassVar[int] = 100

    @staticmethod
    def upcast_v1_v2(item: dict[str, Any]) -> dict[str, Any]:
        item["full_name"] = f"{item.pop('first')} {item.pop('last')}"
        return item

    def upcast_v2_v3(self, item: dict[str, Any]) -> dict[str, Any]:
        return {**{name: value for name, value in item.items() if name != "euros"}, "cents": self.cents_of(item)}

    def cents_of(self, item: dict[str, Any]) -> int:
        return int(item.get("euros", 0) * self.rate)


class Tolerant(People):
    schema_options = SchemaOptions(newer_versions="read")


V1: Item = {"id": {"S": "a"}, "first": {"S": "Ada"}, "last": {"S": "Byron"}, "euros": {"N": "1.5"}}
V2: Item = {"id": {"S": "a"}, "full_name": {"S": "Ada Byron"}, "euros": {"N": "2"}, "schema_version": {"N": "2"}}
V3: Item = {"id": {"S": "a"}, "full_name": {"S": "Ada Byron"}, "cents": {"N": "7"}, "schema_version": {"N": "3"}}
V4: Item = {**V3, "schema_version": {"N": "4"}, "nick": {"S": "ada"}}


def people(cls: type[People] = People) -> Any:
    return cls(CONFIG)._entity


# --- declarations -----------------------------------------------------------------------------------------------------


def declare(*names: str, **attributes: Any) -> Any:
    body = {"table_name": "t", "primary_key": "id", **{name: staticmethod(dict) for name in names}, **attributes}
    return types.new_class("Declared", (BaseDynamoRepository[Person],), {}, lambda namespace: namespace.update(body))


@pytest.mark.parametrize(
    ("names", "attributes", "said"),
    [
        ([], {"schema_version": 2}, "missing upcast_v1_v2"),
        (["upcast_v1_v2"], {"schema_version": 4}, "missing upcast_v2_v3, upcast_v3_v4"),
        (["upcast_v1_v2", "upcast_v3_v4"], {"schema_version": 4}, "missing upcast_v2_v3 "),
        (["upcast_v1_v2", "upcast_v2_v3"], {"schema_version": 2}, "upcast_v2_v3: no step"),
        (["upcast_v1_v2", "upcast_v1_v3"], {"schema_version": 2}, "upcast_v1_v3: no step"),
        (["upcast_v1_v2", "upcast_v01_v2"], {"schema_version": 2}, "upcast_v01_v2: no step"),
        (["upcast_v1_v2"], {}, "declares upcast_v1_v2, but no schema_version"),
        ([], {"schema_options": SchemaOptions(write_back=True)}, "declares schema_options, but no schema_version"),
        ([], {"schema_version": 0}, "at least 1, not 0"),
        ([], {"schema_version": True}, "not True"),
        ([], {"schema_version": "2"}, "not '2'"),
        ([], {"schema_version": 2, "schema_options": SchemaOptions(oldest=3)}, "cannot be above"),
        ([], {"schema_version": 1, "schema_options": SchemaOptions(unversioned=2)}, "cannot be above"),
        ([], {"schema_version": 1, "schema_options": {"oldest": 1}}, "must be SchemaOptions"),
        ([], {"schema_version": 1, "schema_options": SchemaOptions("full_name")}, "'full_name' is no int"),
        ([], {"schema_version": 1, "schema_options": SchemaOptions("id")}, "another use"),
        (["upcast_v1_v2"], {"schema_version": 3, "schema_options": SchemaOptions(oldest=2)}, "missing upcast_v2_v3"),
    ],
)
def test_a_chain_with_gaps_or_superfluous_steps_is_refused(
    names: list[str], attributes: dict[str, Any], said: str
) -> None:
    with pytest.raises(DeclarationError, match="Declared") as caught:
        declare(*names, **attributes)
    assert said in caught.value.message


@pytest.mark.parametrize(
    "options",
    [{"attribute": ""}, {"oldest": 0}, {"unversioned": 1.0}, {"newer_versions": "ignore"}],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        SchemaOptions(**options)


def test_a_subclass_goes_on_with_the_chain() -> None:
    class Later(People):
        schema_version = 4

        @staticmethod
        def upcast_v3_v4(item: dict[str, Any]) -> dict[str, Any]:
            return {**item, "full_name": item["full_name"].upper()}

    assert people(Later).decode(V1) == Person(id="a", full_name="ADA BYRON", cents=150)


def test_without_a_schema_version_nothing_is_stamped() -> None:
    class Plain(BaseDynamoRepository[Person]):
        table_name = "people"
        primary_key = "id"

    entity = Plain(CONFIG)._entity
    assert "schema_version" not in entity.encode(Person(id="a", full_name="Ada"))
    assert entity.evolution is None


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("item", "cents"), [(V1, 150), (V2, 200), (V3, 7)])
def test_items_of_every_version_read_as_the_current_one(item: Item, cents: int) -> None:
    assert people().decode(item) == Person(id="a", full_name="Ada Byron", cents=cents)


def test_one_function_gives_the_current_wire_item() -> None:
    current = people().current_item(V1)
    assert current == {**V3, "cents": {"N": "150"}}
    assert people().current_item(V3) is V3


def test_what_an_upcaster_leaves_alone_keeps_its_form() -> None:
    odd: Item = {
        "raw": {"B": b"\x00\xff"},
        "texts": {"SS": ["b", "a"]},
        "numbers": {"NS": ["1.5", "2"]},
        "blobs": {"BS": [b"x"]},
        "nothing": {"NULL": True},
        "big": {"N": "12345678901234567890123456789012345678"},
        "deep": {"M": {"list": {"L": [{"N": "1"}, {"SS": ["z", "y"]}, {"M": {}}]}, "flag": {"BOOL": False}}},
    }
    current = people().current_item({**V1, **odd})
    assert {name: current[name] for name in odd} == odd


@given(st.dictionaries(st.text(min_size=1, max_size=3).map("x{}".format), WIRES, max_size=4))
def test_nothing_that_can_be_stored_is_lost_on_the_way(others: Item) -> None:
    current = people().current_item({**V1, **others})
    assert {name: current[name] for name in others} == others


@given(WIRES)
def test_what_an_upcaster_moves_stays_what_it_is(wire: Any) -> None:
    entity = failing(lambda item: {"id": item["id"], "new": [item["old"]]})
    moved = entity.current_item({"id": {"S": "a"}, "old": wire})["new"]
    assert read_any(moved) == [read_any(wire)]


def test_items_without_a_version_may_be_of_a_later_one() -> None:
    class Later(People):
        schema_options = SchemaOptions(unversioned=2)

    assert people(Later).decode({name: wire for name, wire in V2.items() if name != "schema_version"}).cents == 200


def test_a_newer_item_is_refused_or_read() -> None:
    with pytest.raises(SchemaVersionError) as caught:
        people().decode(V4)
    assert (caught.value.found, caught.value.known, caught.value.key) == (4, 3, {"id": "a"})
    assert "newer program" in caught.value.message
    assert people(Tolerant).decode(V4) == people().decode(V3)


@pytest.mark.parametrize("version", [{"S": "3"}, {"N": "0"}, {"N": "2.5"}, {"BOOL": True}, {"NULL": True}])
def test_what_is_no_version_is_refused(version: dict[str, Any]) -> None:
    with pytest.raises(SchemaVersionError) as caught:
        people().decode({**V3, "schema_version": version})
    assert caught.value.found == read_any(version)


def test_an_item_older_than_read_is_refused() -> None:
    entity = declare(schema_version=2, schema_options=SchemaOptions(oldest=2))(CONFIG)._entity
    with pytest.raises(SchemaVersionError, match="declare upcast_v1_v2 again"):
        entity.decode(V1)


def failing(upcaster: Callable[[dict[str, Any]], Any]) -> Any:
    return declare(upcast_v1_v2=staticmethod(upcaster), schema_version=2)(CONFIG)._entity


@pytest.mark.parametrize(
    ("upcaster", "said"),
    [
        (lambda item: item["nowhere"], "KeyError: 'nowhere'"),
        (lambda item: item.clear(), "returned None"),
        (lambda item: {**item, "x": float("nan")}, "NaN"),
        (lambda item: {**item, "id": "b"}, "'id' of the key"),
        (lambda item: {"full_name": "Ada"}, "'id' of the key"),
        (lambda item: {**item, "full_name": None}, "full_name"),
    ],
)
def test_an_upcaster_that_fails_says_so_with_the_key(upcaster: Callable[[dict[str, Any]], Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        failing(upcaster).decode(V1)
    assert said in caught.value.message
    assert caught.value.context["key"] == {"id": "a"}


def test_upcasters_may_give_datetimes_and_floats() -> None:
    entity = failing(lambda item: {"id": item["id"], "at": datetime(2026, 1, 1), "ratio": 0.5})  # noqa: DTZ001
    assert entity.current_item(V1)["at"] == {"S": "2026-01-01T00:00:00.000000+00:00"}
    assert entity.current_item(V1)["ratio"] == {"N": "0.5"}


def test_the_version_may_be_a_field_of_the_model() -> None:
    class Versioned(BaseModel):
        id: str
        name: str
        form: int = Field(default=0, alias="v")

        model_config = ConfigDict(populate_by_name=True, frozen=True)

    class Repository(BaseDynamoRepository[Versioned]):
        table_name = "t"
        primary_key = "id"
        schema_version = 2
        schema_options = SchemaOptions("v")

        @staticmethod
        def upcast_v1_v2(item: dict[str, Any]) -> dict[str, Any]:
            assert "v" not in item
            return {**item, "name": "?"}

    entity = Repository(CONFIG)._entity
    assert entity.decode({"id": {"S": "a"}}).form == 2
    call, _ = first_call(items.create(entity, Versioned(id="a", name="b")))
    assert call.params["Item"]["v"] == {"N": "2"}
    created = Server().run(items.create_in_zone(entity, Versioned(id="a", name="b"), "Europe/Berlin"))
    assert created.form == 2
    target = type("Target", (Repository,), {"table_name": "t2"})(CONFIG)._entity
    assert Copying(entity, target, None).item({"id": {"S": "a"}}) == {
        "id": {"S": "a"},
        "name": {"S": "?"},
        "v": {"N": "2"},
    }
    with pytest.raises(ValidationError, match="schema version"):
        first_call(patches.patch(entity, ("a", None), None, {"form": 5}, when=None, upsert=False))


# --- one pass ---------------------------------------------------------------------------------------------------------

versions = st.sampled_from([None, {"N": "1"}, {"N": "2"}, {"N": "3"}, {"N": "3"}, {"N": "4"}, {"S": "3"}, {"N": "03"}])
names = st.one_of(st.just({"S": "Ada"}), st.just({"N": "1"}), st.none())
wire_items = st.builds(
    lambda version, base, full_name, extra: {
        name: wire
        for name, wire in {**base, **extra, "full_name": full_name, "schema_version": version}.items()
        if wire is not None
    },
    versions,
    st.sampled_from([V1, V2, V3]),
    names,
    st.dictionaries(st.sampled_from(["unknown", "cents", "address"]), st.just({"N": "5"}), max_size=2),
)


def read_simply(entity: Any, page: Sequence[Item]) -> object:
    try:
        return [entity.decode(item) for item in page]
    except ValidationError as error:
        return type(error)


@given(st.lists(wire_items, max_size=3), st.sampled_from([People, Tolerant]))
def test_reading_in_one_pass_is_reading_simply(page: list[Item], cls: type[People]) -> None:
    entity = people(cls)
    read = entity.codec.answer_reader("Items")
    answer = read(to_json({"Items": page, "Count": len(page)}))
    expected = read_simply(entity, page)
    if answer is not None:
        assert answer["Items"] == expected
    is_plain = all(item.get("schema_version") == {"N": "3"} and "address" not in item for item in page)
    if is_plain and isinstance(expected, list):
        assert answer is not None


@pytest.mark.parametrize("member", ["Item", "Attributes"])
def test_lone_items_are_read_in_one_pass_if_they_are_current(member: str) -> None:
    read = people().codec.answer_reader(member)
    assert read(to_json({member: V3}))[member] == Person(id="a", full_name="Ada Byron", cents=7)
    assert [read(to_json({member: item})) for item in (V1, V2, V4)] == [None, None, None]


def test_batches_are_read_in_one_pass_if_all_are_current() -> None:
    read = people().batch_reader.read
    assert read(to_json({"Responses": {"people": [V3]}}))["Responses"]["people"][0].cents == 7
    assert read(to_json({"Responses": {"people": [V3, V2]}})) is None


# --- parts of items ---------------------------------------------------------------------------------------------------


def test_places_of_an_item_are_as_a_projection_gives_them() -> None:
    item: Item = {
        "a": {"M": {"b": {"L": [{"N": "0"}, {"M": {"c": {"S": "x"}, "d": {"S": "y"}}}, {"N": "2"}]}, "e": {"N": "5"}}},
        "f": {"S": "g"},
        "h": {"L": [{"N": "0"}]},
    }
    assert pruned(item, [("f",), ("nowhere",)]) == {"f": {"S": "g"}}
    assert pruned(item, [("a", "b", 1, "c"), ("a", "e")]) == {
        "a": {"M": {"b": {"L": [{"M": {"c": {"S": "x"}}}]}, "e": {"N": "5"}}}
    }
    assert pruned(item, [("a", "b", 2), ("a", "b", 0)]) == {"a": {"M": {"b": {"L": [{"N": "0"}, {"N": "2"}]}}}}
    assert pruned(item, [("a", "x"), ("h", 3), ("f", "y"), ("h", "z")]) == {}
    assert pruned(item, [("a", "b", 0), ("a",)]) == {"a": item["a"]}


# --- writes -----------------------------------------------------------------------------------------------------------


class Server:
    """Answers a flow's effects from a script: responses, errors to throw, or functions of the call."""

    def __init__(self, *answers: Any, table: Any = None) -> None:
        self.answers = list(answers)
        self.table = table or {"Table": {}}
        self.calls: list[Call] = []
        self.slept: list[float] = []
        self.time = NOON

    def run(self, flow: Flow[Any]) -> Any:
        try:
            effect = next(flow)
            while True:
                try:
                    outcome = self.outcome(effect)
                except (AccessDeniedError, ConditionFailedError, ThrottlingError, WriteOutcomeUnknownError) as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(outcome)
        except StopIteration as end:
            return end.value

    def outcome(self, effect: Effect) -> Any:
        match effect:
            case Now():
                return self.time
            case Sleep(seconds):
                self.slept.append(seconds)
                self.time += timedelta(seconds=seconds)
                return None
            case Together(flows):
                return [self.run(flow) for flow in flows]
            case Call(operation):
                self.calls.append(effect)
                answer = self.table if operation == "DescribeTable" else self.answers.pop(0) if self.answers else {}
                if isinstance(answer, Exception):
                    raise answer
                return answer
        raise AssertionError(effect)


def first_call(flow: Flow[Any]) -> tuple[Call, Server]:
    server = Server()
    with contextlib.suppress(KeyError):  # it has no answer to go on with
        server.run(flow)
    return server.calls[0], server


def refused(item: Item | None) -> ConditionFailedError:
    return ConditionFailedError("the condition was false", item=item)


def spelled(call: Call) -> str:
    """The expressions of a request, with names and values in the place of placeholders."""
    text = " | ".join(
        call.params[name] for name in ("UpdateExpression", "ConditionExpression") if call.params.get(name)
    )
    values = {key: repr(read_any(wire)) for key, wire in call.params.get("ExpressionAttributeValues", {}).items()}
    known = {**call.params.get("ExpressionAttributeNames", {}), **values}
    for placeholder in sorted(known, key=len, reverse=True):
        text = text.replace(placeholder, known[placeholder])
    return text


def test_an_update_sets_what_the_model_knows_and_nothing_else() -> None:
    call, _ = first_call(items.update(people(), Person(id="a", full_name="Ada", cents=5)))
    assert call.operation == "UpdateItem"
    assert "ReturnValues" not in call.params
    assert spelled(call) == (
        "SET full_name = 'Ada', cents = 5, schema_version = 3 REMOVE address, tags "
        "| attribute_exists(id) AND schema_version = 3"
    )


def test_a_tolerant_program_updates_newer_items_too() -> None:
    call, _ = first_call(items.update(people(Tolerant), Person(id="a", full_name="Ada")))
    assert spelled(call).endswith("attribute_exists(id) AND schema_version >= 3")


def test_version_one_changes_items_without_a_version() -> None:
    entity = declare(schema_version=1)(CONFIG)._entity
    call, _ = first_call(patches.patch(entity, ("a", None), None, {"cents": 1}, when=None, upsert=False))
    assert spelled(call) == (
        "SET cents = 1, schema_version = 1 "
        "| attribute_exists(id) AND (schema_version = 1 OR attribute_not_exists(schema_version))"
    )


def test_a_model_that_has_every_attribute_is_written_as_a_whole() -> None:
    class Open(BaseModel):
        id: str

        model_config = ConfigDict(extra="allow")

    class Opens(BaseDynamoRepository[Open]):
        table_name = "t"
        primary_key = "id"
        schema_version = 1

    call, _ = first_call(items.update(Opens(CONFIG)._entity, Open(id="a", other=1)))  # type: ignore[call-arg]
    assert call.operation == "PutItem"
    assert call.params["Item"] == {"id": {"S": "a"}, "other": {"N": "1"}, "schema_version": {"N": "1"}}
    assert "schema_version = 1" in spelled(call)


def test_a_patch_of_an_older_item_brings_it_up_to_date_first() -> None:
    done: Item = {**V3, "cents": {"N": "150"}}
    server = Server(refused(V1), {"Item": V1}, {}, {"Attributes": done})
    model = server.run(patches.patch(people(), ("a", None), None, {"full_name": "X"}, when=None, upsert=False))
    assert model.cents == 150
    assert [call.operation for call in server.calls] == ["UpdateItem", "GetItem", "UpdateItem", "UpdateItem"]
    assert spelled(server.calls[2]) == (
        "SET full_name = 'Ada Byron', cents = 150, schema_version = 3 REMOVE first, last, euros "
        "| id = 'a' AND first = 'Ada' AND last = 'Byron' AND euros = Decimal('1.5') "
        "AND attribute_not_exists(full_name) AND attribute_not_exists(cents) AND attribute_not_exists(schema_version)"
    )
    assert spelled(server.calls[0]) == spelled(server.calls[3])


@pytest.mark.parametrize(
    "flow",
    [
        lambda: patches.patch(people(), ("a", None), None, {"cents": 1}, when=None, upsert=False),
        lambda: items.update(people(), Person(id="a", full_name="Ada")),
    ],
)
def test_a_newer_item_is_not_changed(flow: Callable[[], Flow[Any]]) -> None:
    server = Server(refused(V4))
    with pytest.raises(SchemaVersionError) as caught:
        server.run(flow())
    assert caught.value.found == 4
    assert len(server.calls) == 1


def test_a_patch_gives_up_on_an_item_that_stays_old() -> None:
    server = Server(*[refused(V1), {"Item": V1}, {}] * 20)
    with pytest.raises(SchemaVersionError, match="kept writing"):
        server.run(patches.patch(people(), ("a", None), None, {"cents": 1}, when=None, upsert=False))
    assert len(server.calls) < 40


def test_rewriting_looks_at_what_the_faster_writer_wrote() -> None:
    changed: Item = {**V1, "euros": {"N": "9"}}
    server = Server(refused(changed), {})
    assert server.run(evolving.rewrite(people(), V1)).outcome is Outcome.REWRITTEN
    assert "cents = 900" in spelled(server.calls[1])
    assert server.slept


@pytest.mark.parametrize(("now", "outcome"), [(V3, Outcome.CURRENT), (V4, Outcome.CURRENT), (None, Outcome.GONE)])
def test_rewriting_loses_to_other_writers(now: Item | None, outcome: Outcome) -> None:
    assert Server(refused(now)).run(evolving.rewrite(people(), V1)).outcome is outcome


def test_rewriting_whose_answer_was_lost_is_known_by_what_is_stored() -> None:
    error = refused({**evolving.current_form(people(), V1), "later": {"S": "by another writer"}})
    error.context["lost_answers"] = 1
    server = Server(error)
    assert server.run(evolving.rewrite(people(), V1)).outcome is Outcome.REWRITTEN
    assert len(server.calls) == 1


def test_an_item_with_too_many_attributes_is_reported() -> None:
    wide = {**V1, **{f"attribute{number}": {"N": "1"} for number in range(400)}}
    server = Server({"Items": [wide, {**V1, "id": {"S": "b"}}]})
    report, _ = migrate(server, segments=1)
    assert (report.failed, report.rewritten) == (1, 1)
    assert "4,096" in report.failures[0].reason


def test_rewriting_keeps_what_the_model_does_not_know() -> None:
    nested = {"M": {"city": {"S": "Bath"}, "planet": {"S": "Earth"}}}
    item = evolving.current_form(people(), {**V1, "address": nested, "unknown": {"L": [{"N": "1"}]}})
    assert item["address"] == nested
    assert item["unknown"] == {"L": [{"N": "1"}]}


def test_what_an_upcaster_changes_is_stored_as_the_model_writes_it() -> None:
    def upcast(item: dict[str, Any]) -> dict[str, Any]:
        address = {"city": item["city"], "planet": "Earth"}
        return {"id": item["id"], "full_name": "Ada", "cents": "5", "address": address, "tags": ["b", "a"]}

    form = evolving.current_form(failing(upcast), {"id": {"S": "a"}, "city": {"S": "Bath"}})
    assert form["cents"] == {"N": "5"}
    assert form["tags"] == {"SS": ["a", "b"]}
    assert form["address"]["M"] == {"city": {"S": "Bath"}, "planet": {"S": "Earth"}, "zip": {"NULL": True}}


def test_an_item_keeps_its_key_whatever_the_model_makes_of_it() -> None:
    class Tidy(BaseModel):
        id: Annotated[str, AfterValidator(str.lower)]

    class Tidies(BaseDynamoRepository[Tidy]):
        table_name = "t"
        primary_key = "id"
        schema_version = 2
        upcast_v1_v2 = staticmethod(dict)

    assert evolving.current_form(Tidies(CONFIG)._entity, {"id": {"S": "A"}})["id"] == {"S": "A"}


@pytest.mark.parametrize("error", [ThrottlingError("slow down"), refused({**V1, "euros": {"N": "2"}})])
def test_writing_back_never_fails_a_read(error: Exception) -> None:
    class WritesBack(People):
        schema_options = SchemaOptions(write_back=True)

    server = Server({"Item": V1}, error)
    assert server.run(items.get(people(WritesBack), ("a", None), consistent=False)).cents == 150
    assert [call.operation for call in server.calls] == ["GetItem", "UpdateItem"]


def test_nothing_is_written_back_unasked_or_for_current_items() -> None:
    class WritesBack(People):
        schema_options = SchemaOptions(write_back=True)

    for cls, item in ((People, V1), (WritesBack, V3)):
        server = Server({"Item": item})
        server.run(items.get(people(cls), ("a", None), consistent=False))
        assert len(server.calls) == 1


# --- passes -----------------------------------------------------------------------------------------------------------


def migrate(server: Server, *, cls: type[People] = People, dry_run: bool = False, **options: Any) -> Any:
    told: list[Any] = []
    flow = migrations.migrate(people(cls), PassOptions(**options), dry_run=dry_run, progress=told.append)
    return server.run(flow), told


def test_a_pass_is_no_faster_than_its_rate() -> None:
    page = [{**V1, "id": {"S": str(number)}} for number in range(10)]
    scan = {"Items": page, "ConsumedCapacity": {"TableName": "t", "CapacityUnits": 5.0}}
    written = {"ConsumedCapacity": {"TableName": "t", "CapacityUnits": 2.0}}
    server = Server(scan, *[written] * 10)
    report, _ = migrate(server, segments=1, units_per_second=10)
    assert (report.read_units, report.write_units, report.rewritten) == (5.0, 20.0, 10)
    assert sum(server.slept) == pytest.approx(2.5)
    assert max(server.slept) <= 1.6  # eight writes at most before a pause


def test_progress_says_what_a_bar_needs() -> None:
    scan = {
        "Items": [V3] * 20,
        "ScannedCount": 30,
        "ConsumedCapacity": {"TableName": "t", "CapacityUnits": 6.0},
        "LastEvaluatedKey": {"id": {"S": "a"}},
    }
    end = {name: scan[name] for name in scan if name != "LastEvaluatedKey"}
    server = Server(scan, scan, end, table={"Table": {"ItemCount": 80}})
    report, told = migrate(server, segments=1, units_per_second=2)
    assert [each.evaluated for each in told] == [30, 60, 90]
    assert [each.fraction for each in told] == [30 / 80, 60 / 80, 1.0]
    assert [each.seconds for each in told] == [3.0, 6.0, 9.0]
    assert (report.scanned, report.estimated_total, report.is_done) == (60, 80, True)
    assert (report.items_per_second, report.units_per_second) == (pytest.approx(10), pytest.approx(2))

    rest, _ = migrate(Server(end, table=server.table), segments=1, units_per_second=2, checkpoint=told[1].checkpoint)
    assert (rest.scanned, rest.evaluated, rest.items_per_second) == (20, 90, pytest.approx(10))


@pytest.mark.parametrize("table", [AccessDeniedError("not allowed"), {"Table": {"ItemCount": 0}}])
def test_nobody_knows_how_far_a_pass_is_without_a_total(table: Any) -> None:
    more = {"Items": [V3], "LastEvaluatedKey": {"id": {"S": "a"}}}
    _, told = migrate(Server(more, {"Items": []}, table=table), segments=1)
    assert [(each.evaluated, each.fraction) for each in told] == [(1, None), (1, 1.0)]


def test_the_total_is_asked_for_where_somebody_is_told() -> None:
    server = Server({"Items": []})
    report = server.run(migrations.migrate(people(), PassOptions(segments=1), dry_run=False, progress=None))
    assert [call.operation for call in server.calls] == ["Scan"]
    assert report.estimated_total is None


def test_a_pass_without_reported_capacity_charges_an_estimate() -> None:
    server = Server({"Items": [{**V1, "big": {"S": "x" * 3000}}]})
    report, _ = migrate(server, segments=1)
    assert report.write_units == 3
    assert 0 < report.read_units < 1


def test_a_failed_request_tells_where_to_go_on() -> None:
    pages = [{"Items": [V3], "LastEvaluatedKey": {"id": {"S": "a"}}}, ThrottlingError("slow down")]
    with pytest.raises(ThrottlingError) as caught:
        migrate(Server(*pages), segments=1)
    server = Server({"Items": []})
    report, _ = migrate(server, segments=1, checkpoint=caught.value.context["checkpoint"])
    assert server.calls[1].params["ExclusiveStartKey"] == {"id": {"S": "a"}}
    assert report.is_done


def test_what_is_wrong_with_one_item_does_not_stop_the_others() -> None:
    bad: Item = {"id": {"S": "b"}, "schema_version": {"S": "?"}}
    torn: Item = {"id": {"S": "c"}, "first": {"S": "x"}}
    report, told = migrate(Server({"Items": [bad, torn, V1, V3, V4]}), segments=1)
    assert (report.failed, report.rewritten, report.current, report.newer) == (2, 1, 1, 1)
    assert [(failure.key, failure.version) for failure in report.failures] == [({"id": "b"}, None), ({"id": "c"}, 1)]
    assert "KeyError: 'last'" in report.failures[1].reason
    assert report.versions == {1: 2, 3: 1, 4: 1}
    assert told == [report]


def test_failures_and_examples_are_bounded() -> None:
    bad = [{"id": {"S": str(number)}} for number in range(150)]
    good = [{**V1, "id": {"S": str(number)}} for number in range(10)]
    server = Server({"Items": [*bad, *good]})
    report, _ = migrate(server, segments=1, dry_run=True)
    assert (report.failed, len(report.failures), report.rewritten, len(report.examples)) == (150, 100, 10, 3)
    assert [call.operation for call in server.calls] == ["DescribeTable", "Scan"]
    assert report.examples[0].before == {"first": "Ada", "last": "Byron", "euros": Decimal("1.5")}
    assert report.examples[0].after == {"full_name": "Ada Byron", "cents": 150, "schema_version": 3}
    assert str(report).startswith("160 items: 10 would be rewritten")


def test_a_checkpoint_is_of_its_own_pass_only() -> None:
    more = {"Items": [V3], "LastEvaluatedKey": {"id": {"S": "a"}}}
    _, told = migrate(Server(more, {"Items": []}), segments=1, dry_run=True)
    with pytest.raises(InvalidCursorError):
        migrate(Server(), segments=1, checkpoint=told[0].checkpoint)
    with pytest.raises(InvalidCursorError):
        migrate(Server(), segments=2, dry_run=True, checkpoint=told[0].checkpoint)


@pytest.mark.parametrize("rate", [0, -1, "10", True, float("inf"), float("nan")])
def test_a_rate_is_a_number_above_zero(rate: Any) -> None:
    with pytest.raises(ValidationError, match="units_per_second"):
        PassOptions(units_per_second=rate)


def test_a_repository_without_versions_has_nothing_to_migrate() -> None:
    class Plain(BaseDynamoRepository[Person]):
        table_name = "people"
        primary_key = "id"

    with pytest.raises(ValidationError, match="no schema_version"):
        Server().run(migrations.migrate(Plain(CONFIG)._entity, PassOptions(), dry_run=True, progress=None))


def test_items_are_the_same_whatever_the_order_of_their_sets() -> None:
    assert is_same({"a": {"SS": ["x", "y"]}}, {"a": {"SS": ["y", "x"]}})
    assert is_same({"a": {"M": {"b": {"L": [{"NS": ["1", "2"]}]}}}}, {"a": {"M": {"b": {"L": [{"NS": ["2", "1"]}]}}}})
    assert not is_same({"a": {"S": "1"}}, {"a": {"N": "1"}})
    assert not is_same({"a": {"SS": ["1"]}}, {"a": {"NS": ["1"]}})
    assert not is_same({"a": {"S": "1"}, "b": {"S": "1"}}, {"a": {"S": "1"}})
    assert not is_same(None, {})


def test_unique_values_and_versions_go_together() -> None:
    class Uniques(People):
        unique = (Unique("full_name"),)

    write = evolving.rewriting(people(Uniques), V1)
    assert write is not None
    assert write.guarding.name == "READ"
