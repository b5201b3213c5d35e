"""Runs on the machines of a Dask cluster instead of the cores of this one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from joblib import parallel_config


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster whose workers see this checkout, the data and the folder of results under the same paths.

    scheduler: its address, such as `tcp://10.0.0.1:8786`.
    """

    scheduler: str

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Lets joblib run on the cluster.

        Raises `ImportError` where Dask is missing, `OSError` where the scheduler does not answer, and `ValueError`
        where a worker has several threads: runs would then share the generators of random numbers.
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
