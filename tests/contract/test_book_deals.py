"""The deals application of The DynamoDB Book: its access patterns, with its keys.

Deals by day, by brand and by category; a brand that is liked once by each user, and watched; messages of a user, and
those that are unread.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessPattern,
    Add,
    BaseDynamoRepository,
    ItemAlreadyExistsError,
    TransactionCanceledError,
    transact_write,
)
from dynamodb_wrapper.codec import Key
from dynamodb_wrapper.repositories import SingleTable
from tests.contract.shop import Make

TABLE = SingleTable(
    "deals",
    partition_key="PK",
    sort_key="SK",
    kind="Type",
    indexes={name: (f"{name}PK", f"{name}SK") for name in ("GSI1", "GSI2", "GSI3")},
)
TODAY = datetime(2026, 2, 14, tzinfo=UTC)


class Deal(BaseModel):
    deal_id: str
    brand: str
    category: str
    created_at: datetime = TODAY


class Brand(BaseModel):
    name: str
    likes: int = 0


class BrandLike(BaseModel):
    brand: str
    username: str


class BrandWatch(BaseModel):
    brand: str
    username: str


class Message(BaseModel):
    username: str
    message_id: str
    unread: bool = True


class Deals(BaseDynamoRepository[Deal]):
    single_table = TABLE
    primary_key = Key("DEAL#{deal_id}")
    sort_key = Key("DEAL#{deal_id}")
    of_day = AccessPattern("GSI1", partition=Key("DEALS#{created_at:day}"), sort=Key("DEAL#{deal_id}"))
    of_brand = AccessPattern(
        "GSI2", partition=Key("BRAND#{brand}#{created_at:day}", case="upper"), sort=Key("DEAL#{deal_id}")
    )
    of_category = AccessPattern(
        "GSI3", partition=Key("CATEGORY#{category}#{created_at:day}", case="upper"), sort=Key("DEAL#{deal_id}")
    )


class Brands(BaseDynamoRepository[Brand]):
    single_table = TABLE
    primary_key = Key("BRAND#{name}", case="upper")
    sort_key = Key("BRAND#{name}", case="upper")
    every = AccessPattern("GSI1", partition=Key("BRANDS"), sort=Key("{name}"))


class BrandLikes(BaseDynamoRepository[BrandLike]):
    single_table = TABLE
    primary_key = Key("BRANDLIKE#{brand}#{username}", case="upper")
    sort_key = Key("BRANDLIKE#{brand}#{username}", case="upper")


class BrandWatches(BaseDynamoRepository[BrandWatch]):
    single_table = TABLE
    primary_key = Key("BRANDWATCH#{brand}", case="upper")
    sort_key = Key("USER#{username}")


class Messages(BaseDynamoRepository[Message]):
    single_table = TABLE
    primary_key = Key("MESSAGES#{username}")
    sort_key = Key("MESSAGE#{message_id}")
    unread = AccessPattern(
        "GSI1",
        partition=Key("MESSAGES#{username}", when=lambda message: message.unread, fields=("unread",)),
        sort=Key("MESSAGE#{message_id}"),
    )


def test_deals_of_a_day_a_brand_and_a_category(make: Make) -> None:
    deals = make(Deals)
    for number in range(6):
        deals.create(
            Deal(
                deal_id=f"d{number}",
                brand=("Apple", "Lego")[number % 2],
                category=("Tech", "Toys")[number % 2],
                created_at=TODAY + timedelta(hours=10 * number),
            )
        )
    assert [deal.deal_id for deal in deals.of_day(TODAY).descending()] == ["d2", "d1", "d0"]
    assert [deal.deal_id for deal in deals.of_day(TODAY + timedelta(days=1, hours=23))] == ["d3", "d4"]
    assert [deal.deal_id for deal in deals.of_brand("apple", TODAY)] == ["d0", "d2"]
    assert [deal.deal_id for deal in deals.of_category("TOYS", TODAY)] == ["d1"]
    first = deals.of_day(TODAY).page(2)
    assert [deal.deal_id for deal in deals.of_day(TODAY).page(2, first.cursor).items] == ["d2"]


def test_a_deal_that_moves_to_another_day_moves_in_all_indexes(make: Make) -> None:
    deals = make(Deals)
    deals.create(Deal(deal_id="d1", brand="Apple", category="Tech"))
    tomorrow = TODAY + timedelta(days=1)
    deals.patch("d1", created_at=tomorrow)
    for pattern, values in ((deals.of_day, ()), (deals.of_brand, ("APPLE",)), (deals.of_category, ("tech",))):
        assert pattern(*values, TODAY).first() is None
        assert pattern(*values, tomorrow).one().brand == "Apple"


def test_a_brand_is_liked_once_by_each_user(make: Make) -> None:
    brands, likes = make(Brands), make(BrandLikes)
    brands.create(Brand(name="Apple"))

    def like(username: str) -> None:
        transact_write(
            [
                likes.create_request(BrandLike(brand="Apple", username=username)),
                brands.patch_request("apple", likes=Add(1)),
            ]
        )

    like("ann")
    like("bob")
    with pytest.raises(TransactionCanceledError) as again:
        like("ann")
    assert isinstance(again.value.reasons[0].error, ItemAlreadyExistsError)
    assert brands.get_or_raise("APPLE").likes == 2


def test_who_watches_a_brand_and_which_brands_there_are(make: Make) -> None:
    brands, watches = make(Brands), make(BrandWatches)
    for name in ("Lego", "Apple"):
        brands.create(Brand(name=name))
    watches.put_many([BrandWatch(brand="Apple", username=name) for name in ("bob", "ann")])
    assert [watch.username for watch in watches.query("apple")] == ["ann", "bob"]
    assert [brand.name for brand in brands.every()] == ["Apple", "Lego"]


def test_messages_and_those_that_are_unread(make: Make) -> None:
    messages = make(Messages)
    messages.put_many([Message(username="ann", message_id=f"m{number}") for number in range(4)])
    messages.patch("ann", "m1", unread=False)
    messages.patch("ann", "m3", unread=False)
    assert [message.message_id for message in messages.unread("ann").descending()] == ["m2", "m0"]
    assert [message.message_id for message in messages.query("ann").descending().limit(2)] == ["m3", "m2"]
    messages.patch("ann", "m3", unread=True)
    assert messages.unread("ann").count() == 3
