"""The same command on a Dask cluster of two worker processes."""

import json
from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.cluster import Cluster
from benchmarks.results import read_results

distributed = pytest.importorskip("distributed", reason="pip install '.[cluster]'")


def test_a_cluster_of_two_processes_gives_what_one_process_gives(feature_npz: Path, tmp_path: Path) -> None:
    command = [
        "run",
        "--source",
        str(feature_npz),
        "--target",
        str(feature_npz),
        "--methods",
        "mcc,dmsrl,target_supervised",
    ]
    command += ["--seeds", "0,1", "--steps", "4", "--out"]
    blind = ["--target-test", str(tmp_path / "missing.npz")]
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as local:
        there = ["--backend", "dask", "--scheduler", local.scheduler_address]
        assert main([*command, str(tmp_path / "there"), *there]) == 0
        assert main([*command, str(tmp_path / "bad"), *there, *blind]) == 1  # errors come back as they do here
        with distributed.Client(local.scheduler_address) as client:
            ran = client.run(lambda: "benchmarks.grid" in __import__("sys").modules)
    assert list(ran.values()) == [True, True]
    assert main([*command, str(tmp_path / "here"), "--jobs", "1"]) == 0

    def told(folder: str) -> list[dict]:
        return [
            {key: run[key] for key in ("method", "seed", "accuracy", "curve")}
            for run in read_results(tmp_path / folder)
        ]

    assert len(told("here")) == 6
    assert json.dumps(told("there")) == json.dumps(told("here"))


def test_a_worker_with_several_threads_is_refused() -> None:
    how = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": None}
    refused = pytest.raises(ValueError, match="workers must have one thread")
    with distributed.LocalCluster(**how) as local, refused, Cluster(local.scheduler_address).joined():
        pass


@pytest.mark.parametrize("options", [["--backend", "dask"], ["--scheduler", "tcp://127.0.0.1:1"]])
def test_backend_and_address_go_together(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *options]) == 2
    assert "--backend dask and --scheduler ADDRESS must be given together" in capsys.readouterr().err
