"""The schemas of models, and those inferred from items."""

from __future__ import annotations

from datetime import date, time, timedelta
from decimal import Decimal
from enum import IntEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest

pytest.importorskip("pyspark", reason="pyspark is not installed here: `make spark` runs these tests")

from pydantic import AnyUrl, AwareDatetime, BaseModel, Field, RootModel
from pyspark.sql import types as t

from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.spark import spark_schema
from dynamodb_wrapper.spark.inference import schema_of_items
from dynamodb_wrapper.spark.schemas import as_stored
from tests.spark.shop import Order


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Names(RootModel[list[str]]):
    pass


class Everything(BaseModel):
    key: str = Field(alias="pk")
    level: Level = Level.LOW
    kind: Literal["a", "b"] | None = None
    price: Annotated[Decimal, Field(max_digits=9, decimal_places=3)] | None = None
    any_decimal: Decimal = Decimal(0)
    when: AwareDatetime | None = None
    day: date | None = None
    at: time | None = None
    wait: timedelta | None = None
    uid: UUID | None = None
    url: AnyUrl | None = None
    names: Names | None = None
    pairs: tuple[int, ...] = ()
    days: set[date] = set()
    flags: set[bool] = set()
    by_name: dict[str, list[float]] = {}
    hidden: str = Field(default="", exclude=True)


def test_a_model_has_a_schema() -> None:
    schema = spark_schema(Everything)
    assert schema.simpleString() == (
        "struct<pk:string,level:bigint,kind:string,price:decimal(9,3),any_decimal:decimal(38,18),when:timestamp,day:date,"
        "at:string,wait:string,uid:string,url:string,names:array<string>,pairs:array<bigint>,days:array<date>,"
        "flags:array<boolean>,by_name:map<string,array<double>>>"
    )
    assert all(field.nullable for field in schema)
    assert {field.name: field.metadata for field in schema if field.metadata} == {"days": {"dynamodb": "SS"}}


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (Any, "anything"),
        (int | str, "several types"),
        (list[set[str]], "set inside a list"),
        (dict[str, set[int]], "set inside a list or a map"),
        (tuple[int, str], "tuple of several values"),
        (list, "list of anything"),
        (dict[int, str], "keys are no text"),
        (Literal["a", 1], "values of several types"),
        (complex, "complex"),
        (Tree, "contains itself"),
        (Annotated[Decimal, Field(max_digits=50)], "hold 38"),
    ],
)
def test_what_has_no_one_type_is_refused_by_name(annotation: Any, reason: str) -> None:
    model = type("Odd", (BaseModel,), {"__annotations__": {"field": annotation}})
    with pytest.raises(ValidationError, match=rf"Odd\.field.*{reason}"):
        spark_schema(model)


def test_a_frame_learns_from_the_model_how_its_fields_are_stored() -> None:
    given = t.StructType([t.StructField("tags", t.ArrayType(t.StringType())), t.StructField("more", t.LongType())])
    learned = as_stored(given, spark_schema(Order))
    assert [field.metadata for field in learned] == [{"dynamodb": "SS"}, {}]
    with pytest.raises(ValidationError, match=r"'total' is string .* cast it"):
        as_stored(t.StructType([t.StructField("total", t.StringType())]), spark_schema(Order))


def test_numbers_are_inferred_exactly_and_rare_attributes_doubted() -> None:
    items: list[Any] = [
        {"pk": {"S": str(n)}, "n": {"N": "1"}, "d": {"N": "1.5"}, "void": {"NULL": True}} for n in range(99)
    ]
    items.append({"pk": {"S": "x"}, "n": {"N": str(2**63)}, "d": {"N": "0.0001"}, "rare": {"L": []}})
    schema, doubts = schema_of_items(items, ["pk"])
    assert schema.simpleString() == "struct<pk:string,d:decimal(38,4),n:decimal(38,0),rare:array<string>>"
    assert doubts == [
        "'rare' is in 1 of 100 items only; there may be others like it, unseen",
        "'void' is NULL everywhere and was left out",
    ]
