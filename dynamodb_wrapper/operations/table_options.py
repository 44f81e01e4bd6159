"""How a table is to be: everything of its declaration that is not about its items."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from dynamodb_wrapper.exceptions import DeclarationError

StreamView = Literal["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"]
TableClass = Literal["STANDARD", "STANDARD_INFREQUENT_ACCESS"]

AWS_MANAGED_KEY = "alias/aws/dynamodb"
"""The KMS key that AWS keeps for DynamoDB in every account."""
LONGEST_RECOVERY_DAYS = 35
"""AWS, "Point-in-time backups": how far back a table can be restored, at most and by default."""
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d+")


@dataclass(frozen=True, slots=True)
class TableOptions:
    """How the table is to be: what `create_table` makes, `table_diff` compares and the templates say.

    What is left out is AWS's default: billing on demand, no stream, a key owned by AWS. The capacity figures hold for
    the table and for each of its global indexes.

    Attributes:
        read_units: Provisioned read capacity; None (with ``write_units``) for on-demand billing, the default.
        write_units: Provisioned write capacity.
        stream: What DynamoDB Streams carries of each change; None for no stream.
        deletion_protection: Whether DynamoDB refuses to delete the table.
        max_read_units: With on-demand billing, the most read units a second; None for no maximum.
        max_write_units: With on-demand billing, the most write units a second.
        warm_read_units: How many read units a second the table takes from one moment to the next; None for what AWS
            gives (12,000 on demand). It can be raised, and never lowered.
        warm_write_units: The same for writes (AWS gives 4,000 on demand).
        table_class: ``"STANDARD"``, or ``"STANDARD_INFREQUENT_ACCESS"`` for tables whose storage costs more than their
            traffic.
        kms_key: The KMS key items are encrypted with: None for one that AWS owns, ``"alias/aws/dynamodb"`` for the one
            AWS keeps in the account, else the ARN, id or alias of a key of yours.
        point_in_time_recovery: How many days back the table can be restored, 1 to 35; True for 35, False for no
            continuous backups, None for leaving that to others.
        tags: Tags that the table has; others that it has are left alone.
        replicas: Other regions that have a replica of the table. Templates make them; ``create_table`` and
            ``apply_table`` do not. They need on-demand billing.
    """

    read_units: int | None = None
    write_units: int | None = None
    stream: StreamView | None = None
    deletion_protection: bool = False
    max_read_units: int | None = None
    max_write_units: int | None = None
    warm_read_units: int | None = None
    warm_write_units: int | None = None
    table_class: TableClass = "STANDARD"
    kms_key: str | None = None
    point_in_time_recovery: int | bool | None = None
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    replicas: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.read_units is None) != (self.write_units is None):
            raise DeclarationError("read_units and write_units are given together, or neither (on-demand billing)")
        for name in _UNITS:
            units = getattr(self, name)
            if units is not None and (isinstance(units, bool) or not isinstance(units, int) or units < 1):
                raise DeclarationError(f"{name} must be a whole number of at least 1, not {units!r}")
        if self.is_provisioned and (self.max_read_units is not None or self.max_write_units is not None):
            raise DeclarationError(
                "max_read_units and max_write_units bound on-demand billing; with read_units and "
                "write_units those are the bound"
            )
        if self.stream is not None and self.stream not in get_args(StreamView):
            raise DeclarationError(f"stream must be one of {', '.join(get_args(StreamView))}, not {self.stream!r}")
        if self.table_class not in get_args(TableClass):
            raise DeclarationError(
                f"table_class must be one of {', '.join(get_args(TableClass))}, not {self.table_class!r}"
            )
        kms_key: object = self.kms_key
        if kms_key is not None and not (isinstance(kms_key, str) and kms_key.strip()):
            raise DeclarationError(f"kms_key must be the ARN, id or alias of a KMS key, not {self.kms_key!r}")
        self._check_recovery()
        self._check_tags()
        self._check_replicas()

    @property
    def is_provisioned(self) -> bool:
        """Whether capacity is provisioned, rather than on demand."""
        return self.read_units is not None

    @property
    def recovery_days(self) -> int | None:
        """How many days back the table can be restored, 0 for no continuous backups; None where it is not declared."""
        if isinstance(self.point_in_time_recovery, bool):
            return LONGEST_RECOVERY_DAYS if self.point_in_time_recovery else 0
        return self.point_in_time_recovery

    @property
    def own_kms_key(self) -> str | None:
        """The KMS key as requests name it; None where AWS's own is meant."""
        return None if self.kms_key == AWS_MANAGED_KEY else self.kms_key

    def _check_recovery(self) -> None:
        days: object = self.point_in_time_recovery
        if days is None:
            return
        if not isinstance(days, int) or (not isinstance(days, bool) and not 1 <= days <= LONGEST_RECOVERY_DAYS):
            raise DeclarationError(
                f"point_in_time_recovery must be True, False or 1 to {LONGEST_RECOVERY_DAYS} days, not {days!r}"
            )

    def _check_tags(self) -> None:
        declared: object = self.tags
        if not isinstance(declared, Mapping):
            raise DeclarationError(f"tags must be a dict of texts, not {self.tags!r:.80}")
        tags: Mapping[object, object] = declared
        for name, value in tags.items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise DeclarationError(f"tags must be a dict of texts, not with {name!r:.80}: {value!r:.80}")
            if not 1 <= len(name) <= 128 or len(value) > 256 or name.lower().startswith("aws:"):
                raise DeclarationError(
                    f"tag {name!r:.150} cannot be: a name has 1 to 128 characters and does not begin with 'aws:', "
                    "a value has at most 256"
                )
        if len(self.tags) > 50:
            raise DeclarationError(f"AWS takes 50 tags on a table, not {len(self.tags)}")
        object.__setattr__(self, "tags", dict(self.tags))

    def _check_replicas(self) -> None:
        replicas: object = self.replicas
        if not isinstance(replicas, tuple | list):
            raise DeclarationError(f"replicas is several regions, as in ('eu-west-1',), not {replicas!r:.80}")
        object.__setattr__(self, "replicas", tuple(replicas))
        for region in replicas:
            if not isinstance(region, str) or not _REGION.fullmatch(region):
                raise DeclarationError(f"replicas has names of AWS regions, such as 'eu-west-1', not {region!r:.80}")
        if len(set(self.replicas)) < len(self.replicas):
            raise DeclarationError("replicas names a region twice")
        if not self.replicas:
            return
        if self.is_provisioned:
            raise DeclarationError("replicas need on-demand billing here: provisioned ones need autoscaling policies")
        if self.stream not in (None, "NEW_AND_OLD_IMAGES"):
            raise DeclarationError("replicas need the stream NEW_AND_OLD_IMAGES")
        if self.own_kms_key is not None:
            raise DeclarationError(f"KMS keys are of one region, so replicas need kms_key={AWS_MANAGED_KEY!r} or None")


_UNITS = ("read_units", "write_units", "max_read_units", "max_write_units", "warm_read_units", "warm_write_units")
