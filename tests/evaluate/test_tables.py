"""The same figures in all three forms."""

import csv
import io
import json

from pyface3d.evaluate.tables import Table

TABLE = Table(
    "Errors",
    [{"method": "ours", "median %": 1.23456, "count": 10}, {"method": "trivial, mean", "median %": float("nan")}],
    ["seed 0"],
)


def test_text_is_aligned() -> None:
    title, headings, rule, ours, trivial, note = TABLE.text().splitlines()
    assert title == "Errors"
    assert note == "note: seed 0"
    assert headings.split() == ["method", "median", "%", "count"]
    assert set(rule) == {"-", " "}
    assert ours.index("1.23") + 4 == headings.index("median %") + len("median %")
    assert trivial.split()[-2:] == ["-", "-"]


def test_csv_is_read_back() -> None:
    rows = list(csv.DictReader(io.StringIO(TABLE.csv())))
    assert rows[0] == {"method": "ours", "median %": "1.23456", "count": "10"}
    assert rows[1] == {"method": "trivial, mean", "median %": "", "count": ""}


def test_json_is_read_back() -> None:
    content = json.loads(TABLE.json())
    assert content["title"] == "Errors"
    assert content["notes"] == ["seed 0"]
    assert content["rows"][0] == {"method": "ours", "median %": 1.23456, "count": 10}
    assert content["rows"][1] == {"method": "trivial, mean", "median %": None, "count": None}


def test_no_rows() -> None:
    assert Table("Empty", []).text().startswith("Empty")
    assert json.loads(Table("Empty", []).json())["rows"] == []
