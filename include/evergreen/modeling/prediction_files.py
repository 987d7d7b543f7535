"""Read files of predictions: Parquet, or CSV by its ending."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from evergreen.errors import ComparisonError


def read_predictions(path: Path, *, texts: Collection[str] = ()) -> pd.DataFrame:
    """
    Return the columns of a file, as they are called in it; pandas' own metadata is ignored.

    Columns that cannot be predictions, labels, days or keys, such as lists, are left out.

    :param path: A CSV file if it ends with ``.csv``, else a Parquet file.
    :param texts: Columns of a CSV file that are not numbers or booleans, whatever they look like.
    :raises ComparisonError: If *path* cannot be read.
    """
    try:
        is_csv = path.suffix.lower() == ".csv"
        table = _read_csv(path, texts) if is_csv else pq.ParquetFile(path).read()
        flat = [
            place for place, field in enumerate(table.schema) if not pa.types.is_nested(field.type)
        ]
        return table.select(flat).to_pandas(ignore_metadata=True, date_as_object=False)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise ComparisonError(
            f"{path} cannot be read: {error}. Expected a Parquet file, or a CSV file that ends "
            "with .csv. Correct the path or write the file again."
        ) from None


def _read_csv(path: Path, texts: Collection[str]) -> pa.Table:
    table = pa.csv.read_csv(
        path,
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(column_types={name: pa.string() for name in texts}),
    )
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):  # an empty field is no text
            column = table.column(place)
            filled = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
            table = table.set_column(place, field.name, filled)
    return table
