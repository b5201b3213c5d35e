import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from dmsrl_adapt.labelers import faiss_search, nearest
from dmsrl_adapt.labelers.faiss_search import METRICS, FlatIndex, load_faiss, search_devices, search_rows, searchable

from .. import references


def distances_of(queries, rows, metric):
    """All distances by loops, float64, shape (N, M)."""
    measure = {"cosine": lambda a, b: 1 - references.cosine(a, b), "l2": references.squared_distance}[metric]
    table = [[measure(query, row) for row in rows.detach().double()] for query in queries.detach().double()]
    return torch.tensor(table, dtype=torch.float64).view(len(queries), len(rows))


def check_nearest(queries, rows, k, metric):
    """Distances are the k smallest, in order; every index is a different row at its distance, so ties may swap."""
    distances, indices = nearest(queries, rows, k, metric=metric)
    assert distances.shape == indices.shape == (len(queries), k)
    assert (distances.dtype, indices.dtype) == (torch.float32, torch.int64)
    assert not distances.requires_grad
    table = distances_of(queries, rows, metric)
    near = {"rtol": 1e-5, "atol": 2e-6}
    torch.testing.assert_close(distances.double(), table.sort(1).values[:, :k], **near)
    torch.testing.assert_close(table.gather(1, indices), distances.double(), **near)
    assert all(len(set(row)) == k for row in indices.tolist())


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", range(1, 8))
def test_equals_brute_force_for_every_k(metric, k):
    check_nearest(torch.randn(9, 5), torch.randn(7, 5), k, metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_any_floating_dtype_is_searched_in_float32(metric, dtype):
    check_nearest(torch.randn(6, 4).to(dtype), torch.randn(5, 4).to(dtype), 3, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_ties_and_duplicates_are_found_as_a_full_sort_does(metric):
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    check_nearest(torch.tensor([[1.0, 1.0], [2.0, 0.0], [0.0, 0.5]]), rows, 4, metric)


def test_zero_vectors_are_at_cosine_distance_one():
    distances, _ = nearest(torch.zeros(1, 3), torch.randn(4, 3), 4)
    assert torch.equal(distances, torch.ones(1, 4))
    distances, _ = nearest(torch.randn(2, 3), torch.zeros(2, 3), 2)
    assert torch.equal(distances, torch.ones(2, 2))


@pytest.mark.parametrize("metric", METRICS)
def test_non_contiguous_tensors_are_found_as_a_full_sort_does(metric):
    queries, rows = torch.randn(4, 6).t(), torch.randn(5, 8)[:, ::2]
    assert not queries.is_contiguous()
    assert not rows.is_contiguous()
    check_nearest(queries, rows, 2, metric)
    check_nearest(torch.randn(1, 4).expand(3, 4), rows, 2, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_tensors_that_require_a_gradient_are_left_as_they_were(metric):
    queries, rows = torch.randn(4, 3, requires_grad=True), torch.randn(3, 3, requires_grad=True)
    before = queries.detach().clone(), rows.detach().clone()
    check_nearest(queries, rows, 2, metric)
    assert torch.equal(queries, before[0])
    assert torch.equal(rows, before[1])


@pytest.mark.parametrize("metric", METRICS)
def test_distances_are_not_negative(metric):
    rows = torch.randn(200, 7)
    distances, _ = nearest(rows, rows, 1, metric=metric)
    assert distances.min() >= 0


@pytest.mark.parametrize("metric", METRICS)
def test_no_queries_find_nothing(metric):
    check_nearest(torch.zeros(0, 3), torch.randn(4, 3), 2, metric)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"k": 0}, "k must be in 1..4, the number of references, got 0"),
        ({"k": 5}, "k must be in 1..4, the number of references, got 5"),
        ({"metric": "dot"}, r"metric must be one of \('cosine', 'l2'\), got 'dot'"),
        ({"device": "tpu"}, r"device must be one of \('auto', 'cpu', 'all'\), got 'tpu'"),
    ],
)
def test_bad_arguments_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        nearest(**{"queries": torch.zeros(2, 3), "references": torch.zeros(4, 3), "k": 1, **changed})


@pytest.mark.parametrize("name", ["queries", "references"])
def test_what_is_not_finite_is_named(name):
    rows = {"queries": torch.zeros(2, 3), "references": torch.zeros(4, 3)}
    rows[name][0, 0] = torch.nan
    with pytest.raises(ValueError, match=f"{name} must be finite"):
        nearest(**rows, k=1)


def on_cuda(number=0):
    """Stands for a CUDA tensor where there may be none: only its place and size are looked at."""
    return SimpleNamespace(device=torch.device("cuda", number), shape=(4, 3))


class FakeFaiss:
    """Notes what the GPU part of FAISS is asked for, and which GPU is the current one then."""

    METRIC_INNER_PRODUCT, METRIC_L2 = "ip", "l2"

    def __init__(self, num_gpus):
        self.num_gpus, self.resources, self.temp_memory, self.asked, self.current = num_gpus, 0, [], [], None

    def get_num_gpus(self):
        return self.num_gpus

    def StandardGpuResources(self):
        self.resources += 1
        return SimpleNamespace(number=self.resources, setTempMemory=self.temp_memory.append)

    def knn_gpu(self, resources, queries, references, k, metric, device):
        self.asked.append((resources.number, queries, references, k, metric, device, self.current))
        return "scores", "indices"

    @contextmanager
    def on_gpu(self, number):
        self.current = number
        yield
        self.current = None


@pytest.fixture
def fake_faiss(monkeypatch):
    """Puts a fake with so many GPUs in the place of FAISS, and forgets what was remembered of another one."""

    def put(num_gpus):
        fake = FakeFaiss(num_gpus)
        monkeypatch.setattr(faiss_search, "load_faiss", lambda: fake)
        monkeypatch.setattr(torch.cuda, "device", fake.on_gpu)
        return fake

    caches = (faiss_search.warn_no_gpu, faiss_search.gpu_resources)
    for cached in caches:
        cached.cache_clear()
    yield put
    for cached in caches:
        cached.cache_clear()


def test_searches_where_the_tensor_is(fake_faiss):
    fake_faiss(num_gpus=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for device in ("auto", "cpu", "all"):
            assert search_devices(torch.zeros(1), device) == [torch.device("cpu")]
        assert search_devices(on_cuda(1)) == [torch.device("cuda", 1)]
        assert search_devices(on_cuda(1), "cpu") == [torch.device("cpu")]
        assert search_devices(on_cuda(1), "all") == [torch.device("cuda", 0), torch.device("cuda", 1)]


@pytest.mark.parametrize("device", ["auto", "all"])
def test_faiss_without_gpu_searches_cuda_tensors_on_the_cpu_after_one_warning(fake_faiss, device):
    fake_faiss(num_gpus=0)
    with pytest.warns(UserWarning, match="FAISS sees no GPU: .* searched on the CPU") as caught:
        places = [search_devices(on_cuda(), device) for _ in range(3)]
    assert places == 3 * [[torch.device("cpu")]]
    assert len(caught) == 1


def test_no_warning_without_cuda_tensors(fake_faiss):
    fake_faiss(num_gpus=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search_devices(torch.zeros(1))
        search_devices(on_cuda(), "cpu")


def test_search_is_on_the_references_gpu_with_one_set_of_resources_each(fake_faiss):
    fake, rows, queries = fake_faiss(num_gpus=2), on_cuda(1), object()
    assert search_rows(queries, rows, 3, "cosine") == ("scores", "indices")
    search_rows(queries, rows, 4, "l2")
    other = on_cuda(0)
    search_rows(queries, other, 5, "l2")
    first, second, third = fake.asked
    assert first == (1, queries, rows, 3, "ip", 1, 1)
    assert second == (1, queries, rows, 4, "l2", 1, 1)
    assert third == (2, queries, other, 5, "l2", 0, 0)


def test_temp_memory_bounds_the_resources_of_a_gpu(fake_faiss):
    fake = fake_faiss(num_gpus=1)
    search_rows(None, on_cuda(), 1, "l2")
    assert fake.temp_memory == []
    for _ in range(2):
        search_rows(None, on_cuda(), 1, "l2", temp_memory=1 << 20)
    assert fake.temp_memory == [1 << 20]
    assert [asked[0] for asked in fake.asked] == [1, 2, 2]


def test_every_gpu_gets_a_copy_of_the_references_and_a_share_of_the_queries(monkeypatch):
    places = [torch.device("cpu")] * 3
    monkeypatch.setattr(faiss_search, "search_devices", lambda tensor, device: places)
    sizes = []

    def noted(queries, references, k, metric, temp_memory):
        sizes.append((len(queries), len(references), temp_memory))
        return search_rows(queries, references, k, metric)

    queries, rows = torch.randn(8, 5), torch.randn(6, 5)
    expected = nearest(queries, rows, 2)
    monkeypatch.setattr(faiss_search, "search_rows", noted)
    index, queries = FlatIndex(rows, device="all", temp_memory=7), searchable(queries, "cosine")
    assert all(torch.equal(a, b) for a, b in zip(index.search(queries, 2), expected, strict=True))
    assert sizes == [(3, 6, 7), (3, 6, 7), (2, 6, 7)]
    assert all(torch.equal(a, b[:2]) for a, b in zip(index.search(queries[:2], 2), expected, strict=True))
    assert sizes[3:] == [(1, 6, 7), (1, 6, 7)]


def test_references_are_searched_where_they_lie(monkeypatch):
    rows, seen = torch.randn(6, 5), []
    monkeypatch.setattr(
        faiss_search,
        "search_rows",
        lambda queries, references, *args: seen.append(references) or search_rows(queries, references, *args),
    )
    nearest(torch.randn(3, 5), rows, 2, metric="l2")
    assert seen[0].data_ptr() == rows.data_ptr()


@pytest.fixture
def searched(monkeypatch):
    """Sizes of what FAISS itself is asked on the CPU, and its setting for the whole program at that time."""
    faiss, asked = load_faiss(), []
    search = faiss.knn

    def noted(queries, references, *args, **kwargs):
        asked.append((len(queries), len(references), faiss.cvar.distance_compute_blas_threshold))
        return search(queries, references, *args, **kwargs)

    monkeypatch.setattr(faiss, "knn", noted)
    return asked


@pytest.mark.parametrize("usual", [None, 7])
def test_the_setting_of_faiss_is_left_as_it_is(usual, searched):
    """It is one for the whole program, so that threads would race for it."""
    faiss = load_faiss()
    before = faiss.cvar.distance_compute_blas_threshold
    usual = faiss.cvar.distance_compute_blas_threshold = before if usual is None else usual
    try:
        for metric in METRICS:
            for size in (2, 600):
                nearest(torch.randn(size, 3), torch.randn(4, 3), 1, metric=metric)
        assert {threshold for *_, threshold in searched} == {usual}
        assert faiss.cvar.distance_compute_blas_threshold == usual
    finally:
        faiss.cvar.distance_compute_blas_threshold = before


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [1, 3, 20])
@pytest.mark.parametrize("size", [1, 5, 6])
def test_one_matrix_product_and_faiss_find_the_same(metric, k, size, monkeypatch, searched):
    monkeypatch.setattr(faiss_search, "PRODUCT_QUERIES", 5)
    queries, rows = torch.randn(size, 16), torch.randn(20, 16)
    rows[3] = rows[7]
    check_nearest(queries, rows, k, metric)
    assert len(searched) == (metric == "l2" or size > 5)
    monkeypatch.setattr(faiss_search, "PRODUCT_CELLS", 40)
    check_nearest(queries, rows, k, metric)
    assert len(searched[1:] if size > 5 or metric == "l2" else searched) == (metric == "l2" or size > 2)


@pytest.mark.parametrize(("size", "is_searched"), [(256, False), (257, True)])
def test_batches_of_up_to_256_go_by_one_product(size, is_searched, searched):
    check_nearest(torch.randn(size, 4), torch.randn(3, 4), 1, "cosine")
    assert bool(searched) == is_searched


def test_reduced_precision_of_products_does_not_reach_the_search(searched):
    queries, rows = torch.randn(5, 64), torch.randn(20, 64)
    expected = nearest(queries, rows, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = nearest(queries, rows, 3)
    assert torch.equal(found[0], expected[0]) and torch.equal(found[1], expected[1])
    assert not searched
    usual = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        check_nearest(queries, rows, 3, "cosine")
    finally:
        torch.set_float32_matmul_precision(usual)
    assert len(searched) == 1


def test_threads_search_as_one_does():
    queries, rows = torch.randn(40, 300, 16), torch.randn(30, 16)
    sizes = [1 + 37 * number % 300 for number in range(40)]
    expected = [nearest(one[:size], rows, 2) for one, size in zip(queries, sizes, strict=True)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda pair: nearest(pair[0][: pair[1]], rows, 2), zip(queries, sizes, strict=True)))
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])


def test_an_index_answers_many_times():
    index, queries = FlatIndex(torch.randn(7, 4), "l2"), torch.randn(9, 4)
    whole = index.search(queries, 3)
    parts = [index.search(part, 3) for part in queries.split(1)]
    for number in (0, 1):
        torch.testing.assert_close(whole[number], torch.cat([part[number] for part in parts]))


def test_missing_faiss_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    load_faiss.cache_clear()
    try:
        with pytest.raises(ImportError, match=r"pip install faiss-gpu.*pip install faiss-cpu"):
            nearest(torch.zeros(1, 2), torch.zeros(1, 2), 1)
    finally:
        load_faiss.cache_clear()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("device", ["auto", "cpu", "all"])
def test_cuda_tensors_give_the_same_on_their_device(metric, device):
    queries, rows = torch.randn(50, 16), torch.randn(7, 16)
    expected = nearest(queries, rows, 3, metric=metric)
    found = nearest(queries.cuda(), rows.cuda(), 3, metric=metric, device=device)
    assert all(tensor.is_cuda for tensor in found)
    torch.testing.assert_close(found[0].cpu(), expected[0], rtol=1e-4, atol=1e-5)
    assert torch.equal(found[1].cpu(), expected[1])
