"""What the models have in common."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from dynamodb_wrapper.utils.timezone import utcnow

Text = Annotated[str, Field(min_length=1)]
"""Text that is not empty: ids, and whatever is an index key."""
Count = Annotated[int, Field(ge=0)]
"""A whole number, not negative."""
Settings = dict[str, Any]
"""Settings by name; the library stores them and does not look inside."""


class Strict(BaseModel):
    """A model that refuses unknown fields and wrong values, on assignment too: no typing error is dropped in silence.

    What is stored beyond the fields (by a newer version, by hand) is not shown, and does not make an item unreadable.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class Record(Strict):
    """A model with a table of its own.

    Times are aware: they default to now in UTC, and come back aware from the table. One that is given naive stays so in
    the model, until it is written; it is then taken to be in the zone of the call (``current_timezone``) or of the
    configuration (``default_timezone``).

    Attributes:
        created_at: When it was first stored; set by ``create`` unless it was given.
        updated_at: When it was last written; set by every write.
    """

    created_at: datetime = Field(default_factory=utcnow)
    updated_at: datetime = Field(default_factory=utcnow)
