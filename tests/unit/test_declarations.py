"""What a repository class declares, and how a wrong declaration fails: when the class is made."""

from __future__ import annotations

import types
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Generic, NewType, TypeVar

import pytest
from pydantic import AwareDatetime, BaseModel, Field, PositiveInt

from dynamodb_wrapper import (
    AccessPattern,
    BaseDynamoRepository,
    DeclarationError,
    Derived,
    DynamoDBConfig,
    KeyedList,
    TableOptions,
    ValidationError,
)
from dynamodb_wrapper.operations.declaration import Unique

T = TypeVar("T", bound=BaseModel)
K = TypeVar("K", bound=BaseModel)
Revision = NewType("Revision", int)


class Model(BaseModel):
    id: str
    name: str = ""
    other: str = ""
    number: int = 0
    amount: Decimal = Decimal(0)
    ratio: float = 0.0
    flag: bool = False
    raw: bytes = b""
    words: list[str] = []
    tags: set[str] = set()
    table: dict[str, str] = {}
    either: int | str = 0
    maybe: str | None = None
    version: int = 0
    at: datetime | None = None
    day: date | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class Another(BaseModel):
    id: str


def config(**settings: Any) -> DynamoDBConfig:
    return DynamoDBConfig(region_name="us-east-1", **settings)


def declare(**attributes: Any) -> type[BaseDynamoRepository[Model]]:
    """Make a repository class with these attributes."""
    namespace = {"table_name": "models", "primary_key": "id", **attributes}
    return types.new_class("Models", (BaseDynamoRepository[Model],), exec_body=lambda body: body.update(namespace))


# --- class attributes and properties --------------------------------------------------------------------------------


def test_class_attributes_give_the_base_name() -> None:
    class Models(BaseDynamoRepository[Model]):
        table_name = "models"
        primary_key = "id"
        sort_key = "name"

    models = Models(config(table_prefix="app", environment="staging"))
    assert models.table_name == "app_staging_models"
    assert Models.table_name == "models"
    assert (models.model_class, models.primary_key, models.sort_key) == (Model, "id", "name")
    assert models.config.table_prefix == "app"


def test_properties_give_the_physical_name() -> None:
    class Models(BaseDynamoRepository[Model]):
        @property
        def table_name(self) -> str:
            return f"physical-{self.config.environment}"

        @property
        def model_class(self) -> type[Model]:
            return Model

        @property
        def primary_key(self) -> str:
            return "id"

        @property
        def sort_key(self) -> str | None:
            return "name"

    models = Models(config(table_prefix="app", environment="staging"))
    assert models.table_name == "physical-staging"
    assert (models.model_class, models.primary_key, models.sort_key) == (Model, "id", "name")
    assert models.query("a").explain()["TableName"] == "physical-staging"


def test_attributes_and_properties_mix() -> None:
    class Models(BaseDynamoRepository[Model]):
        primary_key = "id"

        @property
        def table_name(self) -> str:
            return "physical"

    class Named(BaseDynamoRepository[Model]):
        table_name = "models"

        @property
        def primary_key(self) -> str:
            return "id"

    assert Models(config(table_prefix="app")).table_name == "physical"
    assert Named(config(table_prefix="app", environment="prod")).table_name == "app_models"


def test_properties_may_depend_on_the_configuration() -> None:
    class Models(BaseDynamoRepository[Model]):
        table_name = "models"

        @property
        def primary_key(self) -> str:
            return "id" if self.config.environment == "prod" else "nothing"

    assert Models(config(environment="prod")).primary_key == "id"
    with pytest.raises(DeclarationError, match="nothing"):
        Models(config(environment="dev"))


def test_a_wrong_property_fails_when_the_class_is_made_where_it_can_be_read() -> None:
    with pytest.raises(DeclarationError, match="nothing"):

        class Models(BaseDynamoRepository[Model]):
            table_name = "models"

            @property
            def primary_key(self) -> str:
                return "nothing"


def test_each_instance_has_its_own_name() -> None:
    models = declare()
    assert models(config(environment="prod")).table_name == "models"
    assert models(config(environment="dev")).table_name == "dev_models"
    assert models(config(environment="prod")).table_name == "models"


# --- the model ------------------------------------------------------------------------------------------------------


def test_the_model_is_read_from_the_brackets_however_far_up() -> None:
    class Base(BaseDynamoRepository[T]):
        primary_key = "id"
        owner: ClassVar[str] = "me"

    class Middle(Base[T], Generic[T]):
        sort_key = None

    class Mixin:
        pass

    class Leaf(Mixin, Middle[Model]):
        table_name = "leaves"

    class Below(Leaf):
        table_name = "below"

    assert Leaf(config()).model_class is Model
    assert Below(config()).model_class is Model
    assert Below(config(environment="prod")).table_name == "below"


def test_the_model_is_found_among_several_arguments() -> None:
    class Keyed(BaseDynamoRepository[T], Generic[K, T]):
        primary_key = "id"

    class Leaf(Keyed[Another, Model]):
        table_name = "leaves"

    assert Leaf(config()).model_class is Model


def test_the_model_may_be_an_attribute() -> None:
    class Plain(BaseDynamoRepository):  # type: ignore[type-arg]
        table_name = "models"
        primary_key = "id"
        model_class = Model

    assert Plain(config()).model_class is Model

    class Narrower(Model):
        more: int = 0

    class Narrow(BaseDynamoRepository[Model]):
        table_name = "models"
        primary_key = "id"
        model_class = Narrower

    assert Narrow(config()).model_class is Narrower


def test_two_different_models_are_refused() -> None:
    with pytest.raises(DeclarationError, match=r"Another.*Model|Model.*Another"):
        declare(model_class=Another)


def test_what_is_no_model_is_refused() -> None:
    class NoModel:
        id: str

    with pytest.raises(DeclarationError, match="Pydantic"):

        class Wrong(BaseDynamoRepository):  # type: ignore[type-arg]
            table_name = "models"
            primary_key = "id"
            model_class = NoModel


def test_abstract_bases_are_checked_when_they_are_complete() -> None:
    class Abstract(BaseDynamoRepository[T]):
        version_attribute = "version"

    class Half(Abstract[Model]):
        table_name = "models"

    with pytest.raises(DeclarationError, match="primary_key"):
        Half(config())
    with pytest.raises(DeclarationError, match="model_class"):
        BaseDynamoRepository[Any](config())

    class NoName(BaseDynamoRepository[Model]):
        primary_key = "id"

    with pytest.raises(DeclarationError, match="table_name"):
        NoName(config())


def test_a_model_with_open_references_is_checked_later() -> None:
    class Open(BaseModel):
        id: str
        later: Later | None = None

    class Opens(BaseDynamoRepository[Open]):
        table_name = "opens"
        primary_key = "nothing"

    class Later(BaseModel):
        x: int

    Open.model_rebuild(_types_namespace={"Later": Later})
    with pytest.raises(DeclarationError, match="nothing"):
        Opens(config())


# --- what is wrong --------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "key is no field": ({"primary_key": "nothing"}, "nothing"),
    "sort key is no field": ({"sort_key": "nothing"}, "nothing"),
    "one field for both": ({"sort_key": "id"}, "both"),
    "bool key": ({"primary_key": "flag"}, "flag"),
    "bool sort key": ({"sort_key": "flag"}, "flag"),
    "list key": ({"primary_key": "words"}, "words"),
    "set key": ({"primary_key": "tags"}, "tags"),
    "dict key": ({"primary_key": "table"}, "table"),
    "two types of key": ({"primary_key": "either"}, "either"),
    "table name is no text": ({"table_name": 5}, "table_name"),
    "table name is empty": ({"table_name": ""}, "table_name"),
    "version is no field": ({"version_attribute": "nothing"}, "nothing"),
    "version is text": ({"version_attribute": "name"}, "name"),
    "version is a float": ({"version_attribute": "ratio"}, "ratio"),
    "version is a Decimal": ({"version_attribute": "amount"}, "amount"),
    "version is a bool": ({"version_attribute": "flag"}, "flag"),
    "ttl is no field": ({"ttl_attribute": "nothing"}, "nothing"),
    "ttl is text": ({"ttl_attribute": "name"}, "name"),
    "ttl is a date": ({"ttl_attribute": "day"}, "day"),
    "ttl is a bool": ({"ttl_attribute": "flag"}, "flag"),
    "created_at is no field": ({"created_at_attribute": "nothing"}, "nothing"),
    "created_at is text": ({"created_at_attribute": "name"}, "name"),
    "updated_at is a number": ({"updated_at_attribute": "number"}, "number"),
    "index on no field": ({"p": AccessPattern("index", partition="nothing")}, "nothing"),
    "index sorts on no field": ({"p": AccessPattern("index", partition="name", sort="nothing")}, "nothing"),
    "index on a bool": ({"p": AccessPattern("index", partition="flag")}, "flag"),
    "index on a list": ({"p": AccessPattern("index", partition="name", sort="words")}, "words"),
    "index name too short": ({"p": AccessPattern("ab", partition="name")}, "3 to 255"),
    "index name too long": ({"p": AccessPattern("x" * 256, partition="name")}, "3 to 255"),
    "index name with a space": ({"p": AccessPattern("by name", partition="name")}, "by name"),
    "index without partition": ({"p": AccessPattern("index", partition=())}, "1 to 4"),
    "five partition fields": (
        {"p": AccessPattern("index", partition=("id", "name", "other", "number", "amount"))},
        "1 to 4",
    ),
    "five sort fields": (
        {"p": AccessPattern("index", partition="id", sort=("name", "other", "number", "amount", "raw"))},
        "0 to 4",
    ),
    "a field twice": ({"p": AccessPattern("index", partition=("name", "name"))}, "twice"),
    "a field in both halves": ({"p": AccessPattern("index", partition="name", sort="name")}, "twice"),
    "projection of no field": ({"p": AccessPattern("index", partition="name", projection=["nothing"])}, "nothing"),
    "projection of nothing": ({"p": AccessPattern("index", partition="name", projection=[])}, "1 to 20 fields"),
    "projection of a field twice": ({"p": AccessPattern("index", partition="name", projection=["id", "id"])}, "twice"),
    "projection of 21 fields": (
        {"p": AccessPattern("index", partition="name", projection=[f"f{number}" for number in range(21)])},
        "1 to 20 fields",
    ),
    "projections of 102 fields together": (
        {
            f"p{number}": AccessPattern(f"index-{number}", partition="name", projection=list(Model.model_fields)[:17])
            for number in range(6)
        },
        "100 fields at most in projection, not 102",
    ),
    "six local indexes": (
        {
            "sort_key": "name",
            **{
                f"p_{name}": AccessPattern(f"by_{name}", partition="id", sort=name, local=True)
                for name in ("other", "number", "amount", "raw", "version", "maybe")
            },
        },
        "5 local indexes at most, not 6",
    ),
    "local without sort": ({"sort_key": "name", "p": AccessPattern("index", partition="id", local=True)}, "local"),
    "local with another partition": (
        {"sort_key": "name", "p": AccessPattern("index", partition="other", sort="number", local=True)},
        "local",
    ),
    "local on a table without sort key": (
        {"p": AccessPattern("index", partition="id", sort="number", local=True)},
        "local",
    ),
    "local with two sort fields": (
        {"sort_key": "name", "p": AccessPattern("index", partition="id", sort=("number", "other"), local=True)},
        "local",
    ),
    "an index twice, differently": (
        {"p": AccessPattern("index", partition="name"), "q": AccessPattern("index", partition="other")},
        "twice",
    ),
    "a pattern on another table key": ({"p": AccessPattern(None, partition="name")}, "own key"),
    "a pattern with half of the table key": (
        {"sort_key": "name", "p": AccessPattern(None, partition="id")},
        "own key",
    ),
    "derived is also a field": (
        {"p": AccessPattern("index", partition=Derived("name", ("other",), str.lower))},
        "also a field",
    ),
    "derived from no field": (
        {"p": AccessPattern("index", partition=Derived("lower", ("nothing",), str.lower))},
        "nothing",
    ),
    "stored_as of no field": ({"stored_as": {"nothing": KeyedList("name")}}, "nothing"),
    "unique of no field": ({"unique": ("nothing",)}, "nothing"),
    "unique within no field": ({"unique": (Unique("name", within="nothing"),)}, "nothing"),
    "unique list": ({"unique": ("words",)}, "words"),
    "unique bool": ({"unique": ("flag",)}, "flag"),
    "unique within a set": ({"unique": (Unique("name", within=("other", "tags")),)}, "tags"),
    "unique within itself": ({"unique": (Unique("name", within="name"),)}, "twice"),
    "unique twice": ({"unique": ("name", Unique("name"))}, "twice"),
    "unique is one text": ({"unique": "name"}, "several"),
    "unique is one entry": ({"unique": Unique("name")}, "several"),
    "unique has something else": ({"unique": (5,)}, "5"),
    "unique number with a normal form": ({"unique": (Unique("number", normalize=str.lower),)}, "normalize"),
    "unique with a normal form that is no function": ({"unique": (Unique("name", normalize=5),)}, "normalize"),  # type: ignore[arg-type]
    "unique key": ({"unique": ("id",)}, "unique anyway"),
    "unique in a table with a number key": ({"primary_key": "number", "unique": ("name",)}, "text"),
    "unique with an index of keys that carries keys": (
        {
            "sort_key": "number",
            "unique": ("name",),
            "p": AccessPattern("index", partition="number", sort="id", projection="KEYS_ONLY"),
        },
        "index",
    ),
    "a pattern named like a method": ({"query": AccessPattern("index", partition="name")}, "query"),
    "a pattern named like an attribute": ({"unique": AccessPattern("index", partition="name")}, "unique"),
    "a pattern named like an instance's attribute": ({"config": AccessPattern("index", partition="name")}, "config"),
    "derived twice, differently": (
        {
            "p": AccessPattern("index", partition=Derived("lower", ("name",), str.lower)),
            "q": AccessPattern("index-2", partition=Derived("lower", ("other",), str.lower)),
        },
        "twice",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_declaration_fails_when_the_class_is_made(what: str) -> None:
    attributes, named = WRONG[what]
    with pytest.raises(DeclarationError, match=named) as caught:
        declare(**attributes)
    assert "Models" in str(caught.value)
    assert isinstance(caught.value, ValidationError)


def test_read_and_write_units_belong_together() -> None:
    with pytest.raises(DeclarationError, match="write_units"):
        TableOptions(read_units=1)


@pytest.mark.parametrize("units", [0, -1, True, 1.5, "1"])
def test_units_are_whole_numbers_of_at_least_1(units: Any) -> None:
    with pytest.raises(DeclarationError, match="write_units"):
        TableOptions(read_units=1, write_units=units)
    with pytest.raises(DeclarationError, match="read_units"):
        TableOptions(read_units=units, write_units=1)


def test_a_stream_carries_what_dynamodb_knows() -> None:
    with pytest.raises(DeclarationError, match="NEW_AND_OLD_IMAGES"):
        TableOptions(stream="EVERYTHING")  # type: ignore[arg-type]
    assert TableOptions(stream="KEYS_ONLY").stream == "KEYS_ONLY"


def test_what_is_never_written_must_not_be_needed() -> None:
    class Secretive(BaseModel):
        id: str
        secret: str = Field(exclude=True)

    class Careful(BaseModel):
        id: str
        secret: str = Field(default="", exclude=True)
        maybe: str | None = Field(exclude=True)

    class Keyless(BaseModel):
        id: str = Field(default="x", exclude=True)

    def of(model_class: type[BaseModel]) -> None:
        namespace = {"table_name": "models", "primary_key": "id", "model_class": model_class}
        types.new_class("Models", (BaseDynamoRepository,), exec_body=lambda body: body.update(namespace))

    with pytest.raises(DeclarationError, match=r"'secret'.*exclude=True"):
        of(Secretive)
    with pytest.raises(DeclarationError, match=r"'id'.*exclude=True"):
        of(Keyless)
    of(Careful)


# --- what is right --------------------------------------------------------------------------------------------------


class Typed(BaseModel):
    id: str
    sequence: PositiveInt = 1
    revision: Revision | None = None
    annotated: Annotated[int, Field(ge=0)] | None = None
    aware: AwareDatetime | None = None
    stamped: Annotated[datetime | None, Field(description="when")] = None
    expires: datetime | int | None = None
    seconds: int | None = None
    fraction: float | None = None
    anything: Any = None


@pytest.mark.parametrize(
    "attributes",
    [
        {"version_attribute": "sequence"},
        {"version_attribute": "revision"},
        {"version_attribute": "annotated"},
        {"version_attribute": "anything"},
        {"ttl_attribute": "aware"},
        {"ttl_attribute": "stamped"},
        {"ttl_attribute": "seconds"},
        {"ttl_attribute": "fraction"},
        {"created_at_attribute": "aware", "updated_at_attribute": "stamped"},
        {"created_at_attribute": None},
    ],
    ids=str,
)
def test_a_right_declaration_is_taken(attributes: dict[str, Any]) -> None:
    namespace = {"table_name": "typed", "primary_key": "id", **attributes}
    repository = types.new_class(
        "Typeds", (BaseDynamoRepository[Typed],), exec_body=lambda body: body.update(namespace)
    )
    assert repository(config()).table_name == "dev_typed"


@pytest.mark.parametrize(
    "attributes",
    [
        {"unique": ("name", Unique("other", within=("number", "amount"), normalize=str.casefold))},
        {"unique": ["raw", Unique("name", within="id")], "sort_key": "number"},
        {"unique": ("id",), "sort_key": "number"},
        {"unique": ("name",), "sort_key": "number", "p": AccessPattern("index", partition="number", sort="id")},
        {"unique": ()},
    ],
    ids=str,
)
def test_unique_fields_are_taken(attributes: dict[str, Any]) -> None:
    declaration = declare(**attributes)._declaration
    assert declaration is not None
    expected = [Unique(entry) if isinstance(entry, str) else entry for entry in attributes["unique"]]
    assert list(declaration.unique) == expected


def test_an_index_may_be_declared_twice_alike_and_overridden_below() -> None:
    pattern: Callable[[], AccessPattern] = lambda: AccessPattern("by_name", partition="name", sort="number")  # noqa: E731

    class Models(BaseDynamoRepository[Model]):
        table_name = "models"
        primary_key = "id"
        by_name = pattern()
        also = pattern()

    class Below(Models):
        by_name = AccessPattern("by_other", partition="other")
        also = by_name

    def indexes(repository: BaseDynamoRepository[Model]) -> set[str]:
        return {query.explain()["IndexName"] for query in (repository.by_name("x"), repository.also("x"))}  # type: ignore[attr-defined]

    assert indexes(Models(config())) == {"by_name"}
    assert indexes(Below(config())) == {"by_other"}
    with pytest.raises(DeclarationError, match="by_name"):
        Below(config()).query("x", index="by_name")


def test_a_pattern_on_the_class_is_the_pattern() -> None:
    pattern = AccessPattern("by_name", partition="name")
    assert declare(by_name=pattern).by_name is pattern  # type: ignore[attr-defined]
    assert "by_name" in repr(pattern)


def test_aliased_fields_are_declared_by_their_python_names() -> None:
    class Aliased(BaseModel):
        id: str = Field(alias="ID")
        when: str = Field(default="", serialization_alias="w")

    class Aliaseds(BaseDynamoRepository[Aliased]):
        table_name = "aliased"
        primary_key = "id"
        by_when = AccessPattern("by_when", partition="when", sort="id")

    explained = Aliaseds(config()).by_when("x").eq("y").explain()
    assert set(explained["ExpressionAttributeNames"].values()) == {"w", "ID"}


def test_a_configuration_is_required() -> None:
    with pytest.raises(TypeError):
        declare()()  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="DynamoDBConfig"):
        declare()("dev")  # type: ignore[arg-type]
