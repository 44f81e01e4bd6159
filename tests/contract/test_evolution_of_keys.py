"""Schema versions where keys are made of fields, and where several repositories share a table."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from dynamodb_wrapper import (
    AccessPattern,
    BaseDynamoRepository,
    Collection,
    DeclarationError,
    DynamoDBConfig,
    F,
    ItemNotFoundError,
    Key,
    SchemaOptions,
    Sharded,
    SingleTable,
    cloudformation_template,
    iam_policy,
    transact_write,
)
from dynamodb_wrapper.exceptions import ConditionFailedError, SchemaVersionError, ValidationError
from tests.contract.shop import Make, stored
from tests.servers import Server

DESK = SingleTable("desk", indexes={"gsi1": ("gsi1pk", "gsi1sk")})


class Ticket(BaseModel):
    """The model of the second program; of the first, ``owner`` was a map and there was no ``state``."""

    team: str
    number: int
    owner: str
    state: str | None = "open"
    title: str = ""


class Tickets(BaseDynamoRepository[Ticket]):
    single_table = DESK
    primary_key = Key("TEAM#{team}")
    sort_key = Key("TICKET#{number:06d}")
    schema_version = 2
    by_owner = AccessPattern("gsi1", partition=Key("OWNER#{owner}"), sort=Key("{state}#{owner}#{number:06d}"))

    @staticmethod
    def upcast_v1_v2(item: dict[str, Any]) -> dict[str, Any]:
        item["owner"] = item["owner"]["login"]
        item["state"] = "open"
        return item


class WritingBack(Tickets):
    schema_options = SchemaOptions(write_back=True)


class Note(BaseModel):
    team: str
    text: str


class Notes(BaseDynamoRepository[Note]):
    single_table = DESK
    primary_key = Key("TEAM#{team}")
    sort_key = Key("NOTE#{text}")


class Found(Collection):
    tickets: list[Ticket]
    notes: list[Note]


ANN = {"login": "ann"}
OLD = {"pk": "TEAM#red", "sk": "TICKET#000001", "_kind": "Ticket", "team": "red", "number": 1, "owner": ANN}
STRANGER = {**OLD, "sk": "TICKET#000009", "_kind": "Robot", "number": 9}
"""Of another kind, and else as a ticket is: what took it for one could read and rewrite it."""
BY_ANN = {"gsi1pk": "OWNER#ann", "gsi1sk": "open#ann#000001", "owner": "ann", "schema_version": 2}


@pytest.fixture
def tickets(make: Make) -> Any:
    repository = make(Tickets)
    for item in (STRANGER, OLD):
        repository.table.put_item(Item=item)
    make(Notes).put(Note(team="red", text="hello"))
    return repository


def raw(repository: Any, sk: str, pk: str = "TEAM#red") -> dict[str, Any]:
    item: dict[str, Any] = repository.table.get_item(Key={"pk": pk, "sk": sk}).get("Item", {})
    return item


def test_older_items_are_read_and_strangers_are_not_upcast(tickets: Any) -> None:
    assert tickets.get("red", 1) == Ticket(team="red", number=1, owner="ann")
    assert tickets.get("red", 9) is None
    assert [found and found.owner for found in tickets.get_many([("red", 1), ("red", 9)])] == ["ann", None]
    assert tickets.get("red", 9, attributes=["owner"]) is None
    assert tickets.get("red", 1, attributes=["owner"])["owner"] == "ann"
    assert [found and dict(found) for found in tickets.get_many([("red", 1), ("red", 9)], attributes=["owner"])] == [
        {"owner": "ann"},
        None,
    ]
    assert [ticket.owner for ticket in tickets.scan()] == ["ann"]


@pytest.mark.parametrize("by", [Tickets, Notes])
def test_a_collection_brings_all_kinds_up_to_date(tickets: Any, make: Make, by: Any) -> None:
    found = make(by).collection(Found, "red").all()
    assert [ticket.owner for ticket in found.tickets] == ["ann"]
    assert [note.text for note in found.notes] == ["hello"]
    assert [item["_kind"] for item in found.unknown] == ["Robot"]


def test_a_migration_touches_its_own_items_and_makes_their_keys(tickets: Any, make: Make) -> None:
    note = raw(tickets, "NOTE#hello")
    tried = tickets.migrate(dry_run=True)
    assert (tried.scanned, tried.rewritten, tried.failed) == (1, 1, 0)
    told: list[Any] = []
    report = tickets.migrate(progress=told.append)
    assert (report.scanned, report.rewritten, report.failed) == (1, 1, 0)
    assert told[-1] == report
    assert (report.evaluated, report.estimated_total, report.fraction) == (3, 3, 1.0)  # all kinds
    assert report.items_per_second > 0
    assert raw(tickets, "TICKET#000009") == STRANGER
    assert raw(tickets, "NOTE#hello") == note
    assert raw(tickets, "TICKET#000001") == {**OLD, **BY_ANN, "state": "open", "title": ""}
    assert [ticket.number for ticket in tickets.by_owner("ann")] == [1]
    assert tickets.migrate().rewritten == 0


def test_items_that_are_read_are_written_back_and_strangers_are_not(tickets: Any, make: Make) -> None:
    repository = make(WritingBack)
    assert repository.get_many([("red", 9), ("red", 1)])[0] is None
    assert repository.get("red", 9) is None
    assert raw(tickets, "TICKET#000009") == STRANGER
    assert raw(tickets, "TICKET#000001").items() >= BY_ANN.items()


def test_an_update_keeps_the_keys_right(tickets: Any) -> None:
    tickets.update(Ticket(team="red", number=1, owner="bob", state="done"))
    item = raw(tickets, "TICKET#000001")
    assert (item["gsi1pk"], item["gsi1sk"], item["_kind"]) == ("OWNER#bob", "done#bob#000001", "Ticket")
    tickets.update(Ticket(team="red", number=1, owner="bob", state=None))
    assert "gsi1sk" not in raw(tickets, "TICKET#000001")
    with pytest.raises(ItemNotFoundError):
        tickets.update(Ticket(team="red", number=9, owner="bob"))
    assert raw(tickets, "TICKET#000009") == STRANGER


def test_a_patch_of_an_older_item_makes_keys_of_its_current_form(tickets: Any) -> None:
    patched = tickets.patch("red", 1, state="done")
    assert (patched.owner, patched.state) == ("ann", "done")
    item = raw(tickets, "TICKET#000001")
    assert (item["gsi1pk"], item["gsi1sk"], item["schema_version"]) == ("OWNER#ann", "done#ann#000001", 2)
    with pytest.raises(ItemNotFoundError):
        tickets.patch("red", 9, state="done")
    with pytest.raises(ConditionFailedError):
        tickets.patch("red", 9, owner="eve", state="done", upsert=True)
    assert raw(tickets, "TICKET#000009") == STRANGER


def test_a_patch_of_another_field_and_its_condition_see_the_current_form(tickets: Any) -> None:
    assert tickets.patch("red", 1, title="a", when=F.owner == "ann").title == "a"
    assert raw(tickets, "TICKET#000001").items() >= BY_ANN.items()


def test_an_upsert_over_an_older_item_is_of_the_current_version(tickets: Any) -> None:
    assert tickets.patch("red", 1, owner="bob", state="done", upsert=True).owner == "bob"
    made = tickets.patch("red", 2, owner="bob", state="done", upsert=True)
    assert made == Ticket(team="red", number=2, owner="bob", state="done")
    assert raw(tickets, "TICKET#000002").items() >= {"schema_version": 2, "_kind": "Ticket"}.items()
    assert [ticket.number for ticket in tickets.by_owner("bob").eq("done")] == [1, 2]


def test_transactions_bring_older_items_up_to_date(tickets: Any) -> None:
    transact_write([tickets.patch_request("red", 1, owner="bob", state="done")])
    item = raw(tickets, "TICKET#000001")
    assert (item["gsi1pk"], item["gsi1sk"], item["schema_version"]) == ("OWNER#bob", "done#bob#000001", 2)


ROOM = SingleTable("room")


class Desk(BaseModel):
    room: str
    desk: int
    size: int


class Desks(BaseDynamoRepository[Desk]):
    single_table = ROOM
    primary_key = Key("ROOM#{room}")
    sort_key = Key("DESK#{desk:03d}")
    schema_version = 2
    schema_options = SchemaOptions(write_back=True)
    inches = 2

    def __init__(self, config: DynamoDBConfig, *, inches: int = 2) -> None:
        super().__init__(config)
        self.inches = inches

    def upcast_v1_v2(self, item: dict[str, Any]) -> dict[str, Any]:
        item["size"] = item.pop("length") * self.inches
        return item


class Lamp(BaseModel):
    room: str
    lamp: int


class Lamps(BaseDynamoRepository[Lamp]):
    single_table = ROOM
    primary_key = Key("ROOM#{room}")
    sort_key = Key("LAMP#{lamp:03d}")


class Inventory(Collection):
    desks: list[Desk]
    lamps: list[Lamp]


@pytest.mark.parametrize("is_paged", [True, False])
@pytest.mark.parametrize("by", [Desks, Lamps])
def test_what_a_collection_has_read_is_written_back(make: Make, by: Any, is_paged: bool) -> None:
    lamps = make(Lamps)
    desk = {"pk": "ROOM#a", "room": "a", "_kind": "Desk", "length": 5}
    strange = {**desk, "sk": "DESK#009", "desk": 9, "_kind": "Robot"}
    lamps.put(Lamp(room="a", lamp=1))
    for item in (strange, *({**desk, "sk": f"DESK#00{number}", "desk": number} for number in (1, 2))):
        lamps.table.put_item(Item=item)
    query = make(by).collection(Inventory, "a")
    found = query.page(10) if is_paged else query.all()
    assert [entry.size for entry in found.desks] == [10, 10]
    assert (len(found.lamps), len(found.unknown)) == (1, 1)
    assert raw(lamps, "DESK#002", "ROOM#a") == {
        "pk": "ROOM#a",
        "sk": "DESK#002",
        "room": "a",
        "_kind": "Desk",
        "desk": 2,
        "size": 10,
        "schema_version": 2,
    }
    assert raw(lamps, "DESK#009", "ROOM#a") == strange


def test_a_page_of_a_collection_writes_back_no_more_than_it_has(make: Make) -> None:
    desks = make(Desks)
    for number in (1, 2):
        item = {"pk": "ROOM#a", "sk": f"DESK#00{number}", "room": "a", "desk": number, "_kind": "Desk", "length": 5}
        desks.table.put_item(Item=item)
    assert [entry.desk for entry in desks.collection(Inventory, "a").page(1).desks] == [1]
    assert "length" not in raw(desks, "DESK#001", "ROOM#a")
    assert "length" in raw(desks, "DESK#002", "ROOM#a")


def test_a_collection_takes_upcasters_of_repositories_that_are_made_of_a_configuration(server: Server) -> None:
    cellar = SingleTable("cellar")

    class Bottles(BaseDynamoRepository[Desk]):
        single_table = cellar
        primary_key = Key("ROOM#{room}")
        sort_key = Key("DESK#{desk:03d}")
        schema_version = 2

        def __init__(self, config: DynamoDBConfig, size: int) -> None:
            super().__init__(config)
            self.size = size

        def upcast_v1_v2(self, item: dict[str, Any]) -> dict[str, Any]:
            return {**item, "size": self.size}

    class Candles(BaseDynamoRepository[Lamp]):
        single_table = cellar
        primary_key = Key("ROOM#{room}")
        sort_key = Key("LAMP#{lamp:03d}")

    candles = Candles(server.config())
    with pytest.raises(DeclarationError, match=r"Bottles is not made of a configuration alone.*static methods"):
        candles.collection(Inventory, "a")

    class StaticBottles(Bottles):
        @staticmethod
        def upcast_v1_v2(item: dict[str, Any]) -> dict[str, Any]:
            return {**item, "size": 2}

    candles.ensure_table()
    candles.table.put_item(Item={"pk": "ROOM#a", "sk": "DESK#001", "room": "a", "desk": 1, "_kind": "Desk"})
    assert [entry.size for entry in candles.collection(Inventory, "a").all().desks] == [2]
    assert StaticBottles.single_table is cellar


class Renaming(Tickets):
    """An upcaster that changes what the key is made of: then the item could not be found by it."""

    @staticmethod
    def upcast_v1_v2(item: dict[str, Any]) -> dict[str, Any]:
        return {**Tickets.upcast_v1_v2(item), "team": item["team"].upper()}


class Filling(Tickets):
    """An upcaster that gives the fields that were only in the key."""

    @staticmethod
    def upcast_v1_v2(item: dict[str, Any]) -> dict[str, Any]:
        return {**Tickets.upcast_v1_v2(item), "team": item["pk"].removeprefix("TEAM#")}


def test_an_upcaster_cannot_change_what_the_key_is_made_of(tickets: Any, make: Make) -> None:
    renaming = make(Renaming)
    with pytest.raises(ValidationError, match="changed 'team' of the key") as refused:
        renaming.get("red", 1)
    assert refused.value.context["key"] == {"team": "red", "number": 1}
    assert [failure.reason for failure in renaming.migrate().failures] == [refused.value.message]
    assert raw(tickets, "TICKET#000001") == OLD


def test_an_upcaster_may_give_the_fields_that_the_key_tells(tickets: Any, make: Make) -> None:
    tickets.table.put_item(Item={name: value for name, value in OLD.items() if name != "team"})
    filling = make(Filling)
    assert filling.get("red", 1) == Ticket(team="red", number=1, owner="ann")
    assert filling.migrate().rewritten == 1
    assert raw(tickets, "TICKET#000001") == {**OLD, **BY_ANN, "state": "open", "title": ""}


def test_a_condition_sees_the_current_form_whatever_it_is_for(tickets: Any) -> None:
    with pytest.raises(ConditionFailedError):
        tickets.delete("red", 1, when=F.owner == "eve")
    assert raw(tickets, "TICKET#000001").items() >= BY_ANN.items()
    tickets.table.put_item(Item=OLD)
    assert tickets.delete("red", 1, when=F.owner == "ann")
    assert not raw(tickets, "TICKET#000001")
    tickets.table.put_item(Item=OLD)
    other = Ticket(team="red", number=2, owner="bob")
    transact_write([tickets.check_request("red", 1, when=F.owner == "ann"), tickets.create_request(other)])
    assert raw(tickets, "TICKET#000001").items() >= BY_ANN.items()
    tickets.table.put_item(Item=OLD)
    transact_write([tickets.delete_request("red", 1, when=F.owner == "ann")])
    assert not raw(tickets, "TICKET#000001")
    newer = {**OLD, "schema_version": 3}
    tickets.table.put_item(Item=newer)
    with pytest.raises(SchemaVersionError):
        tickets.delete("red", 1, when=F.owner.not_exists())
    assert raw(tickets, "TICKET#000001") == newer
    with pytest.raises(ConditionFailedError):
        tickets.delete("red", 3, when=F.owner == "ann")
    assert tickets.delete("red", 9) is False
    assert raw(tickets, "TICKET#000009") == STRANGER


def test_the_table_is_described_as_a_whole(tickets: Any, make: Make) -> None:
    notes = make(Notes)
    assert not tickets.table_diff()
    assert not notes.table_diff()
    assert notes.cloudformation() == tickets.cloudformation() == cloudformation_template([tickets, notes])
    assert notes.terraform() == tickets.terraform()
    assert iam_policy(tickets) == iam_policy(tickets, notes)
    assert "ReadIndexes" not in [statement["Sid"] for statement in iam_policy(notes)["Statement"]]  # it has no pattern


def test_a_chart_has_the_patterns_of_one_repository(tickets: Any) -> None:
    chart = tickets.describe()
    assert [(pattern.names, pattern.index) for pattern in chart.patterns] == [((), None), (("by_owner",), "gsi1")]
    assert chart.patterns[1].partition[0].fields == ("owner",)
    assert {"pk", "sk", "gsi1pk", "_kind", "owner"} <= chart.to_json_schema()["properties"].keys()


# --- shards -----------------------------------------------------------------------------------------------------------


class Reading(BaseModel):
    sensor: str
    at: str
    value: int


class Readings(BaseDynamoRepository[Reading]):
    table_name = "readings"
    primary_key = Sharded(Key("SENSOR#{sensor}"), shards=2, by="at")
    sort_key = Key("AT#{at}")
    schema_version = 2
    schema_options = SchemaOptions(write_back=True)

    @staticmethod
    def upcast_v1_v2(item: dict[str, Any]) -> dict[str, Any]:
        item["value"] = item.pop("measured")
        return item


def test_older_items_of_shards_are_read_and_written_back(make: Make) -> None:
    readings = make(Readings)
    for number in range(6):
        readings.put(Reading(sensor="s", at=str(number), value=number))
    for item in readings.table.scan()["Items"]:
        item["measured"] = item.pop("value")
        del item["schema_version"]
        readings.table.put_item(Item=item)
    assert [found.value for found in readings.query("s").page(4).items] == [0, 1, 2, 3]
    assert sum("measured" in item for item in readings.table.scan()["Items"]) == 2
    assert [found.value for found in readings.query("s")] == [0, 1, 2, 3, 4, 5]
    assert not any("measured" in item for item in readings.table.scan()["Items"])


# --- several models in one repository ---------------------------------------------------------------------------------


class Card(BaseModel):
    method: Literal["card"] = "card"
    id: str
    cents: int
    number: str


class Transfer(BaseModel):
    method: Literal["transfer"] = "transfer"
    id: str
    cents: int
    iban: str


class Payments(BaseDynamoRepository[Any]):
    table_name = "payments"
    model_class = Annotated[Card | Transfer, Field(discriminator="method")]
    primary_key = "id"
    schema_version = 2

    @staticmethod
    def upcast_v1_v2(item: dict[str, Any]) -> dict[str, Any]:
        item["cents"] = int(item.pop("euros") * 100)
        return item


class Trip(BaseModel):
    mode: Literal["trip"] = "trip"
    id: str
    state: str = "planned"
    day: str = "mon"


class Stay(BaseModel):
    mode: Literal["stay"] = "stay"
    id: str
    state: str = "booked"
    day: str = "mon"
    nights: int = 1


class Travels(BaseDynamoRepository[Any]):
    table_name = "travels"
    model_class = Annotated[Trip | Stay, Field(discriminator="mode")]
    primary_key = Key("TRAVEL#{id}")
    sort_key = Key("X")
    by_day = AccessPattern("by_day", partition=Key("DAY#{day}"), sort=Key("{state}#{day}"))


def test_a_part_that_an_item_has_not_is_what_its_own_model_says(make: Make) -> None:
    travels = make(Travels)
    for mode in ("trip", "stay"):
        travels.table.put_item(Item={"pk": f"TRAVEL#{mode}", "sk": "X", "mode": mode, "id": mode})
        travels.patch(mode, day="tue")
    assert [travel.id for travel in travels.by_day("tue").eq("planned")] == ["trip"]
    assert [travel.id for travel in travels.by_day("tue").eq("booked")] == ["stay"]


MOVED = SingleTable("moved")


class Parcel(BaseModel):
    owner: str
    number: int


class OldParcels(BaseDynamoRepository[Parcel]):
    single_table = MOVED
    primary_key = Key("PARCEL#{number:06d}")
    sort_key = Key("PARCEL")


class Parcels(BaseDynamoRepository[Parcel]):
    single_table = MOVED
    kind = "parcel of an owner"
    primary_key = Key("OWNER#{owner}")
    sort_key = Key("PARCEL#{number:06d}")


def test_a_kind_gets_other_keys_in_the_same_table(make: Make) -> None:
    old, new = make(OldParcels), make(Parcels)
    old.put_many(Parcel(owner=f"o{number % 3}", number=number) for number in range(40))
    target = vars(new).get("_subject", new)
    assert old.copy_to(target).copied == 40
    assert old.compare_with(target).is_equal
    assert [parcel.number for parcel in new.query("o1").lt(8)] == [1, 4, 7]
    assert (old.count(), new.count()) == (40, 40)
    with pytest.raises(ValidationError, match="to itself"):
        old.copy_to(vars(old).get("_subject", old))


def test_a_union_has_versions_too(make: Make, server: Server) -> None:
    payments = make(Payments)
    payments.table.put_item(Item={"id": "a", "method": "card", "number": "1", "euros": 2})
    payments.put(Transfer(id="b", cents=5, iban="DE"))
    assert stored(server, payments, id="b")["schema_version"] == {"N": "2"}
    assert payments.get("a") == Card(id="a", cents=200, number="1")
    payments.update(Transfer(id="a", cents=300, iban="FR"))
    assert stored(server, payments, id="a").keys() == {"id", "method", "cents", "iban", "schema_version"}
    payments.table.put_item(Item={"id": "c", "method": "transfer", "iban": "AT", "euros": 4})
    assert payments.migrate().rewritten == 1
    assert payments.get("c") == Transfer(id="c", cents=400, iban="AT")
