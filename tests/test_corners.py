"""The ways in which libraries for DynamoDB lose data or lie, and the tests that hold against each of them.

Tests of a single corner have its number in their name (``test_corner_16_...``); the others are listed here.
"""

from __future__ import annotations

import re
from functools import cache

import pytest

from tests.servers import ROOT

TESTS = ROOT / "tests"

CORNERS = {
    1: "a page that is empty after filtering is not the end",
    2: "the version of a model moves only after the write has succeeded",
    3: "a patch respects and moves the version, the time and the index keys made of what it changes",
    4: "a separator inside a value never makes two keys one",
    6: "a batch or transaction whose body raised sends nothing; contexts may be nested, and are not used twice",
    7: "a failed condition is never swallowed",
    8: "a patch of a missing item makes no fragment, and nothing brings a deleted item back",
    9: "after a lost answer nothing is blindly applied twice",
    10: "what a batch leaves over is sent again, within bounds, and reported by entry",
    11: "of writes with one key the last wins; reads of one key are asked once",
    12: "limits of requests are kept, or refused before anything is sent",
    13: "a transaction is repeated for conflicts only, with its token, and its reasons stay in order",
    14: "unique values hold when they are changed, removed and patched",
    15: "an optimistic lock holds on delete and inside of a transaction",
    16: "Decimals are exact",
    17: "floats come back as they were; NaN and infinity are refused",
    18: "empty text, bytes and sets",
    19: "bytes come back as bytes",
    20: "None is left out at the top only; 0, empty text and False are values",
    21: "datetimes are stored in one form, which conditions use too",
    22: "whatever Pydantic's models can do",
    23: "an item that does not validate is an error that names key and field",
    24: "a partial read never pretends to be a whole model",
    25: "a limit with a filter is exact, and so is the cursor after it",
    26: "a cursor of another query, or a damaged one, is an error",
    27: "first() with a filter does not cost a request per item",
    28: "a filter on what the index does not carry is refused",
    29: "comparisons, reserved words, odd names, and expressions that are too long",
    30: "index keys of several attributes",
    31: "items without the key are not in a sparse index",
    32: "a parallel scan has every item once, and stops cleanly",
    33: "empty names or values of expressions are not sent",
    34: "retries are those that are documented, whatever botocore's default",
    35: "the wait for an answer is shorter than botocore's",
    36: "a connection that was closed while idle is replaced, and nothing is sent twice",
    37: "the reasons of throttling reach the error",
    38: "credentials that expire and rotate; a clock that is wrong",
    39: "endpoints by account, ARNs as names; the host that is signed is the host that is called",
    40: "threads, forks, event loops and cancelled tasks",
    41: "closing twice is fine, and what is closed says so",
    42: "nothing secret in logs, errors and cursors",
    43: "where servers differ, what AWS documents is ours",
}
"""By number. 5 (numbers in keys of text) belongs to key templates, which are not there yet."""

HELD_BY = """
1  unit/test_flows.py::test_empty_pages_are_not_the_end
1  contract/test_queries.py::test_empty_pages_are_not_the_end
2  unit/test_flows.py::test_the_model_moves_only_after_success
2  contract/test_items.py::test_a_failed_create_changes_nothing_on_the_model_and_a_retry_overwrites_nothing
2  unit/test_transactions.py::test_models_move_after_the_write_and_not_before
3  unit/test_flows.py::test_patch_moves_the_version_and_the_time
3  contract/test_items.py::test_derived_attributes_follow_every_write
3  contract/test_items.py::test_a_patch_of_a_part_of_a_derived_key_is_refused
4  unit/test_unique.py::test_two_values_never_share_a_guard
6  contract/test_batches.py::test_nothing_is_sent_if_the_body_raises
6  contract/test_transactions.py::test_a_body_that_raises_sends_nothing
7  unit/test_flows.py::test_a_failed_update_is_a_missing_item_or_a_conflict
7  faults/test_writes.py::test_a_failed_condition_is_never_sent_again
8  contract/test_items.py::test_patch_of_a_missing_item_creates_no_fragment
8  contract/test_items.py::test_upsert_creates_a_whole_item_or_refuses
9  unit/test_writes.py::test_what_may_be_sent_again
9  faults/test_writes.py::test_a_write_whose_answer_is_lost
9  faults/test_writes.py::test_a_write_that_is_never_answered
9  faults/test_soak.py::test_nothing_is_lost_or_doubled_under_random_faults
10 faults/test_batches.py::test_leftovers_of_a_write_are_written_after_a_pause
10 faults/test_batches.py::test_what_is_always_left_over_is_reported_entry_by_entry
11 contract/test_batches.py::test_the_last_of_the_same_key_wins_near_and_far
11 unit/test_batches.py::test_in_threads_with_leftovers_and_failures_the_last_write_of_each_key_stands
12 unit/test_transactions.py::test_more_than_a_hundred_are_refused
12 unit/test_transactions.py::test_more_than_4_megabytes_are_refused
12 contract/test_batches.py::test_a_thousand_items_there_and_back_and_away
13 unit/test_transactions.py::test_what_passes_is_waited_out_with_the_same_token
13 unit/test_transactions.py::test_what_would_be_the_same_again_is_not_tried_again
13 faults/test_transactions.py::test_a_transaction_is_applied_once
14 contract/test_unique.py::test_a_value_is_taken_through_every_write_and_free_again_after_it
14 contract/test_unique.py::test_guards_fit_items_after_random_writes_at_once
15 contract/test_transactions.py::test_an_optimistic_lock_holds_on_update_and_delete
15 contract/test_concurrency.py::test_exactly_one_writer_wins_each_version
25 contract/test_queries.py::test_pages_of_any_sizes_have_every_item_once
25 contract/test_queries.py::test_a_cursor_goes_on_where_the_limit_stopped
25 unit/test_flows.py::test_the_resume_key_of_an_index_has_the_keys_of_table_and_index
27 contract/test_queries.py::test_first_with_a_rare_match_costs_few_requests
28 contract/test_queries.py::test_indexes_that_carry_only_some_attributes
29 contract/test_queries.py::test_key_conditions_on_numbers_and_bytes
30 contract/test_queries.py::test_an_index_with_keys_of_several_attributes
31 contract/test_queries.py::test_a_sparse_index_has_only_the_items_with_its_key
32 contract/test_scans.py::test_every_item_comes_once
32 contract/test_scans.py::test_stopping_early_reads_little_and_leaves_no_thread
32 unit/test_drivers.py::test_streams_together_close_every_flow_when_the_consumer_stops_or_one_fails
34 unit/test_retry.py::test_delays_are_those_of_botocores_standard_mode
34 faults/test_batches.py::test_nothing_is_sent_again_by_two_layers
35 integration/test_connection.py::test_no_answer_within_the_timeout
36 faults/test_connections.py::test_a_connection_closed_while_idle_is_replaced_and_an_increment_is_sent_once
37 unit/test_error_mapping.py::test_throttling_reasons_in_both_spellings
38 faults/test_connections.py::test_credentials_rotate_under_load
38 integration/test_direct_lane.py::test_a_wrong_clock_is_set_by_the_servers
39 integration/test_direct_lane.py::test_endpoints_of_accounts
39 integration/test_direct_lane.py::test_a_table_of_another_account_is_botocores
40 integration/test_connection.py::test_threads_that_come_first_together_make_one_client
40 integration/test_connection.py::test_a_forked_child_connects_by_itself
41 integration/test_connection.py::test_a_closed_connection_says_so_and_how_to_get_another
42 integration/test_connection.py::test_nothing_secret_in_repr
42 unit/test_drivers.py::test_requests_are_logged_without_keys_or_values
43 contract/test_bad_input.py::test_what_only_the_server_knows_is_still_a_clear_error
"""


@cache
def functions(path: str) -> frozenset[str]:
    """The tests of a file."""
    return frozenset(re.findall(r"^ *(?:async )?def (test_\w+)", (TESTS / path).read_text(), re.MULTILINE))


LISTED = [(int(number), test) for number, test in (line.split() for line in HELD_BY.strip().splitlines())]


@pytest.mark.parametrize(("number", "test"), LISTED)
def test_what_is_listed_is_there(number: int, test: str) -> None:
    path, _, name = test.partition("::")
    assert number in CORNERS
    assert name in functions(path), test


@pytest.mark.parametrize("number", CORNERS)
def test_every_corner_has_a_test(number: int) -> None:
    files = [str(path.relative_to(TESTS)) for path in TESTS.rglob("test_*.py")]
    named = any(name.startswith(f"test_corner_{number}_") for path in files for name in functions(path))
    assert named or number in {listed for listed, _ in LISTED}, CORNERS[number]
