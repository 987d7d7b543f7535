"""Parquet in and out of memory, strictly: what was written is what is read, bit for bit."""

from __future__ import annotations

import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq


def to_parquet(frame: pd.DataFrame) -> bytes:
    """
    Return *frame* as Parquet bytes; the same frame always gives the same bytes.

    Page checksums are written because without them most single bit flips read back as wrong
    values (FACTS, "Storage"). The index is dropped.
    """
    return _written(pa.Table.from_pandas(frame, preserve_index=False))


def rows_to_parquet(rows: pd.DataFrame) -> bytes:
    """
    Return *rows* of Arrow types, as a database gives them, as plain Parquet bytes.

    Instants are in UTC, and nothing tells a reader to make pandas' Arrow types of them again.
    """
    table = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata(None)
    in_utc = [
        field.with_type(pa.timestamp(field.type.unit, "UTC"))
        if pa.types.is_timestamp(field.type) and field.type.tz
        else field
        for field in table.schema
    ]
    return _written(table.cast(pa.schema(in_utc)))


def _written(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def read_table(data: bytes) -> pa.Table:
    """
    Return the Arrow table in *data*, page checksums verified.

    :raises pyarrow.ArrowInvalid: If *data* is not a whole Parquet file.
    """
    # A day is too small to share among threads, or for the datasets that pq.read_table is made for.
    file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
    return file.read(use_threads=False)


def from_parquet(*data: bytes) -> pd.DataFrame:
    """Return the frame in *data*, or those of several, one below the other; see read_table."""
    tables = [read_table(one) for one in data]
    return pa.concat_tables(tables, promote_options="permissive").to_pandas()
