"""Files that are gone on with: what was surely written stays, what came after it is cut off."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from dynamodb_wrapper.cli.failures import CommandError, ExitCode
from dynamodb_wrapper.cli.files.importing import Keys
from dynamodb_wrapper.cli.files.inputs import LinesInput, Place
from dynamodb_wrapper.cli.files.outputs import FileOutput, Output
from dynamodb_wrapper.cli.files.s3_layout import FolderInput, FolderOutput
from dynamodb_wrapper.codec import TimeRules
from dynamodb_wrapper.operations.declaration import Declaration
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.raw_tables import StoredTable


class Thing(BaseModel):
    pk: str


DECLARATION = Declaration("Things", Thing, "pk")
TABLE = StoredTable(Entity("things", DECLARATION, DECLARATION.codec_for(Thing, TimeRules())), None, None, 0)
ROWS = [json.dumps({"Item": {"pk": {"S": f"key {number}"}}}).encode() + b"\n" for number in range(300)]


def output_of(path: Path) -> Output:
    return FolderOutput(path, table=TABLE, file_bytes=2000) if path.name == "folder" else FileOutput(path)


@pytest.mark.parametrize("name", ["rows.json", "rows.json.gz", "folder"])
def test_rows_after_the_last_commit_are_written_once(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    state: Any = None
    for begin in range(0, 300, 50):
        output = output_of(path)
        output.begin(state)
        for row in ROWS[begin : begin + 50]:
            output.write(row)
        state = json.loads(json.dumps(output.commit()))
        for row in ROWS[:7]:
            output.write(row)
        output.close()  # as a kill does, only that more of it may be on the disk
    assert not path.exists()
    last = output_of(path)
    last.begin(state)
    last.finish()
    assert last.is_finished()
    assert [each.name for each in tmp_path.iterdir()] == [name]
    if name == "folder":
        folder = FolderInput(path)
        folder.verify()
        assert len(list((path / "data").iterdir())) > 3
        assert [record.content + b"\n" for record in folder.records(Place())] == ROWS
    else:
        raw = path.read_bytes()
        assert (gzip.decompress(raw) if name.endswith(".gz") else raw) == b"".join(ROWS)


def test_a_folder_is_read_from_any_place_on(tmp_path: Path) -> None:
    output = output_of(tmp_path / "folder")
    output.begin(None)
    for row in ROWS:
        output.write(row)
        output.commit()
    output.finish()
    records = list(FolderInput(tmp_path / "folder").records(Place()))
    for number in (0, 1, 40, 150, 298, 299):
        rest = FolderInput(tmp_path / "folder").records(records[number].after)
        assert [record.content for record in rest] == [record.content for record in records[number + 1 :]]


@given(
    st.lists(st.text(st.characters(exclude_characters="\r", exclude_categories=("Cs",)), max_size=6), max_size=8),
    st.booleans(),
    st.booleans(),
)
def test_lines_are_read_from_any_place_on(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], packed: bool, is_csv: bool
) -> None:
    path = tmp_path_factory.mktemp("lines") / ("rows.gz" if packed else "rows")
    raw = "\n".join(["header", *texts]).encode()
    path.write_bytes(gzip.compress(raw) if packed else raw)
    source = LinesInput(path, is_csv=is_csv)
    records = list(source.records(Place()))
    for number, record in enumerate(records):
        again = LinesInput(path, is_csv=is_csv)
        again.header()
        assert list(again.records(record.after)) == records[number + 1 :]


def test_what_is_gone_or_shorter_is_not_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be written"):
        FileOutput(tmp_path / "rows").begin({"offset": 10})
    (tmp_path / "rows.part").write_bytes(b"short")
    with pytest.raises(CommandError, match="--restart"):
        FileOutput(tmp_path / "rows").begin({"offset": 10})
    (tmp_path / "folder.part").mkdir()
    state = {"id": "1", "started": "x", "files": [["a.json.gz", 1, "x"]], "offset": None, "items": 0, "bytes": 0}
    with pytest.raises(CommandError, match="is gone"):
        FolderOutput(tmp_path / "folder", table=TABLE).begin(state)
    with pytest.raises(CommandError, match="cannot be made"):
        FolderOutput(tmp_path / "rows.part" / "folder", table=TABLE).begin(None)


def test_a_full_disk_says_which_file_it_is(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    (tmp_path / "out.jsonl.part").symlink_to("/dev/full")
    output = FileOutput(tmp_path / "out.jsonl")
    output.begin(None)
    output.write(b"row\n")
    with pytest.raises(CommandError, match=r"out.jsonl.part cannot be written: No space left") as refused:
        output.commit()
    assert refused.value.code is ExitCode.OUTPUT
    output.close()
    output.discard()
    assert list(tmp_path.iterdir()) == []


def test_keys_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl.checkpoint.keys"
    path.write_text("no database")
    with pytest.raises(CommandError, match="is not a database; if you delete it") as refused:
        Keys(path, is_new=False)
    assert refused.value.code is ExitCode.OUTPUT
    Keys(path, is_new=True).remove()
    assert not path.exists()
