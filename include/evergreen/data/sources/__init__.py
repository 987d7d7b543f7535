"""
Where days of raw data are read from, where a producer does not land them as files.

A kind of source is a module here of the name that its tables have under ``source`` in
``model.yaml``, with a function ``open_source(spec, connection)``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol

from evergreen.data.partitions import Partition
from evergreen.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd


class Source(Protocol):
    """A system that days of tables are read from."""

    def read_day(self, part: Partition) -> pd.DataFrame:
        """
        Return the rows of one day of one table, in an order that depends on the rows alone.

        :raises DataContractError: If the table cannot be read as the spec requires.
        """


def open_source(spec: ModelSpec, connection: Any) -> Source:
    """
    Return the source that the spec names.

    :param connection: The hook of Airflow's connection ``source.connection``.
    :raises SpecError: If the connection is none to such a source.
    """
    module = importlib.import_module(f"evergreen.data.sources.{spec.source.kind}")
    source: Source = module.open_source(spec, connection)
    return source
