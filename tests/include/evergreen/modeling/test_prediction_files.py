"""Files of predictions are read alike, whoever wrote them."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.predictions import NAMED, two_models

from evergreen.errors import ComparisonError
from evergreen.modeling.prediction_comparison import compare_predictions
from evergreen.modeling.prediction_files import read_predictions


def by_pandas(frame, path):
    frame.to_parquet(path)


def by_pandas_with_an_index(frame, path):
    frame.set_index(["day", "label"]).to_parquet(path)


def by_arrow(frame, path):
    pq.write_table(pa.Table.from_pandas(frame).replace_schema_metadata(None), path)


def by_arrow_with_other_types(frame, path):
    table = pa.table(
        {
            "prediction": pa.array(frame.filter(like="prediction").iloc[:, 0]),
            "id": pa.array(frame["id"], pa.int16()),
            "day": pa.array(frame["day"].dt.date, pa.date32()),
            "label": pa.array(frame["label"]).dictionary_encode(),
            "tags": pa.array([["a"]] * len(frame)),
        }
    )
    pq.write_table(table, path)


def as_csv(frame, path):
    frame.to_csv(path, index=False)


@pytest.mark.parametrize("problem", ["binary", "regression"])
@pytest.mark.parametrize(
    ("write", "ending"),
    [
        (by_pandas, "parquet"),
        (by_pandas_with_an_index, "parquet"),
        (by_arrow, "parquet"),
        (by_arrow_with_other_types, "pq"),
        (as_csv, "CSV"),
    ],
)
def test_it_does_not_matter_who_wrote_a_file(tmp_path, write, ending, problem):
    frames = two_models(problem)
    paths = [tmp_path / f"{name}.{ending}" for name in ("champion", "challenger")]
    for frame, path in zip(frames, paths, strict=True):
        write(frame, path)

    found = compare_predictions(*map(read_predictions, paths), problem=problem, **NAMED)

    assert found == compare_predictions(*frames, problem=problem, **NAMED)


def test_classes_of_a_csv_file_are_texts(tmp_path):
    frame = pd.DataFrame({"label": ["01", "NA", ""], "01": [0.5, None, 1], "day": [1, 2, 3]})
    as_csv(frame, tmp_path / "x.csv")

    found = read_predictions(tmp_path / "x.csv", texts=["label"])

    assert list(found["label"][:2]) == ["01", "NA"]
    assert found["label"].isna().tolist() == [False, False, True]
    assert found["01"].isna().tolist() == [False, True, False]
    assert found["day"].tolist() == [1, 2, 3]


def test_types_of_a_csv_file_come_from_all_of_it(tmp_path):
    (tmp_path / "x.csv").write_text("prediction\n" + "1\n" * 700_000 + "0.5\n")

    found = read_predictions(tmp_path / "x.csv")

    assert (found["prediction"].dtype, len(found)) == (float, 700_001)


def test_instants_keep_their_zone(tmp_path):
    at = pa.array([datetime(2013, 3, 1, 23, tzinfo=UTC)], pa.timestamp("us", "Asia/Tokyo"))
    pq.write_table(pa.table({"day": at}), tmp_path / "x.parquet")

    assert str(read_predictions(tmp_path / "x.parquet")["day"].dtype.tz) == "Asia/Tokyo"


def test_both_columns_of_one_name_are_kept(tmp_path):
    table = pa.table([pa.array([1.0]), pa.array([2.0])], names=["prediction", "prediction"])
    pq.write_table(table, tmp_path / "x.parquet")
    (tmp_path / "x.csv").write_text("prediction,prediction\n1,2\n")

    for name in ("x.parquet", "x.csv"):
        assert list(read_predictions(tmp_path / name).columns) == ["prediction", "prediction"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("none.parquet", None),
        ("none.csv", None),
        ("empty.parquet", b""),
        ("empty.csv", b""),
        ("text.parquet", b"prediction\n1\n"),
        ("ragged.csv", b"prediction,label\n1\n"),
        ("binary.csv", b"\xff\xfe\x00,\x00"),
        ("cut.parquet", b"PAR1 and then nothing PAR1"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, content):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ComparisonError, match=rf"{name} cannot be read: .*Expected a Parquet file"):
        read_predictions(path)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ComparisonError, match="cannot be read"):
        read_predictions(tmp_path)
