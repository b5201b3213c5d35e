"""Runs on a Dask cluster instead of the cores of this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from joblib import parallel_config


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster whose workers have this checkout, the data and the results folder under the same paths.

    scheduler: its address, such as `tcp://10.0.0.1:8786`.
    """

    scheduler: str

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Makes the cluster the backend of joblib.

        Raises `ImportError` if Dask is missing, `OSError` if the scheduler does not answer, and `ValueError` if a
        worker has several threads, because runs would share random number generators.
        """
        try:
            from dask.distributed import Client
        except ImportError as error:
            raise ImportError(f"a cluster needs Dask: `pip install '.[cluster]'` ({error})") from error
        with Client(self.scheduler, timeout=30) as client:
            wide = [worker for worker, threads in client.nthreads().items() if threads != 1]
            if wide:
                raise ValueError(f"workers must have one thread, start them with `--nthreads 1`; {wide[0]} has more")
            with parallel_config(backend="dask"):
                yield
