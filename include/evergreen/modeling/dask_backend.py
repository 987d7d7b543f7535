"""
Where the heavy part of a fit runs: here, or on a Dask cluster that joblib hands it to.

scikit-learn splits its work through joblib (forests, ensembles, cross-validation), so the user's
pipeline does not change, and neither does its result: each piece has its own seed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

CONNECT_WITHIN_S = 30


@contextmanager
def running_on(address: str | None) -> Iterator[None]:
    """
    Let joblib's work of the block run on the cluster at *address*; None leaves it in this process.

    The cluster's workers import Evergreen and the model's code: start them from the same image.

    :param address: A scheduler's, such as ``tcp://dask:8786``.
    :raises ConnectionError: If no scheduler answers there, or there is no worker.
    """
    if address is None:
        yield
        return
    # Seconds to import, and only for a spec that names a cluster.
    from distributed import Client
    from joblib import parallel_config

    try:
        client = Client(address, timeout=CONNECT_WITHIN_S, set_as_default=False)
    except OSError as error:  # TimeoutError is one
        raise ConnectionError(
            f"No Dask scheduler answers at {address}: {error}. Nothing was fitted. Start it, or "
            "correct the connection that engine.dask in model.yaml names."
        ) from error
    with client:
        threads = client.nthreads()
        if not threads:
            raise ConnectionError(
                f"The Dask scheduler at {address} has no worker. Nothing was fitted. Start workers "
                "from the image that this task runs in."
            )
        log.info(
            "joblib works on %d workers with %d threads at %s",
            len(threads),
            sum(threads.values()),
            address,
        )
        with parallel_config(backend="dask", client=client, n_jobs=sum(threads.values())):
            yield
