"""How many: options that say so, and how many items each request of a query is to evaluate."""

from __future__ import annotations

from dynamodb_wrapper.exceptions import ValidationError

_FIRST_FILTERED_PAGE = 100
_PAGE_GROWTH = 4
_LARGEST_PAGE = 1_000_000
"""More items than DynamoDB evaluates in a request (1 MB); its ``Limit`` is a 32-bit number."""


class RequestSizes:
    """Chooses each request's ``Limit``.

    Without a filter every evaluated item is a result, so no more than wanted are evaluated. With a filter nobody
    knows, so requests start small and grow: a rare match costs few requests, a frequent one reads little too much.
    """

    def __init__(self, page_size: int | None, wanted: int | None, *, is_filtered: bool) -> None:
        self._page_size = page_size
        self._is_filtered = is_filtered
        self._growing = None if wanted is None else max(wanted, _FIRST_FILTERED_PAGE)

    def next(self, missing: int | None) -> int | None:
        """Return the limit of the next request when so many results are still missing."""
        size = self._page_size if missing is None or self._is_filtered else min(missing, self._page_size or missing)
        if size is None and self._growing is not None:
            size = self._growing
            self._growing = min(size * _PAGE_GROWTH, _LARGEST_PAGE)
        return None if size is None else min(size, _LARGEST_PAGE)


def positive(name: str, number: object) -> int:
    """Return ``number``.

    Raises:
        ValidationError: It is not a whole number of at least 1.
    """
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValidationError(f"{name} must be a whole number of at least 1, not {number!r}", {name: repr(number)})
    return number
