"""Models: what lies otherwise in memory, what only the module knows, what has no shape yet."""

import warnings

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate

import optimkit
from optimkit import MismatchError, UnsafeCheckpointError
from optimkit.checkpoint import distributed


class Sparse(nn.Module):
    """Two layers, and a buffer that may be sparse, between them."""

    def __init__(self, sparse):
        super().__init__()
        self.first = nn.Linear(1, 1)
        table = torch.eye(2)
        self.register_buffer("table", table.to_sparse() if sparse else table)
        self.last = nn.Linear(1, 1)


@pytest.mark.filterwarnings("ignore:Validating sparse")
@pytest.mark.parametrize("sparse", [False, True])
def test_another_layout(tmp_path, sparse):
    """Torch copies from no layout into another: it is a misfit, and nothing has been touched."""
    path = optimkit.save(tmp_path / "last.pt", model=Sparse(sparse))
    model = Sparse(not sparse)
    before = model.first.weight.clone(), model.last.weight.clone()
    layouts = ("sparse_coo", "strided") if sparse else ("strided", "sparse_coo")
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, model=model)
    [row] = caught.value.reports["model"].mismatched
    assert tuple(row) == ("table", "layout", *layouts)
    assert (model.first.weight, model.last.weight) == before
    report = optimkit.load(path, model=model, strict=False).reports["model"]
    assert [row.name for row in report.mismatched] == ["table"]


def with_table(table):
    """Return a layer with a buffer beside it."""
    layer = nn.Linear(40, 40)
    layer.register_buffer("table", table)
    return layer


FORMS = {
    "sparse": lambda table: table.relu().to_sparse(),
    "quantized": lambda table: torch.quantize_per_tensor(table, table.std().item(), 3, torch.qint8),
}


@pytest.mark.filterwarnings("ignore")  # of torch, that quantized ones are old, and sparse ones new
@pytest.mark.parametrize("form", FORMS)
def test_other_values_in_a_layout(tmp_path, form):
    """What is more than values (where they are, the scale) is loaded with them."""
    saved, live = (with_table(FORMS[form](factor * torch.randn(30, 30))) for factor in (1, 5))
    optimkit.load(optimkit.save(tmp_path / "last.pt", model=saved), model=live)
    wanted, found = (
        each.table.dequantize() if form == "quantized" else each.table.to_dense()
        for each in (saved, live)
    )
    assert torch.equal(found, wanted)


@pytest.mark.filterwarnings("ignore")
def test_a_layout_that_refuses(tmp_path):
    """Torch copies no compressed tensor into one of another count, and says so late: all stay."""
    saved, live = (with_table(table.to_sparse_csr()) for table in (torch.eye(9), torch.ones(9, 9)))
    path = optimkit.save(tmp_path / "last.pt", model=saved)
    before = live.weight.clone()
    with pytest.raises(MismatchError, match="same number of specified elements"):
        optimkit.load(path, model=live)
    assert torch.equal(live.weight, before)


class Growing(nn.Module):
    """Keeps an extra state that is a tensor of any length."""

    def __init__(self, length):
        super().__init__()
        self.extra = torch.ones(length)

    def get_extra_state(self):
        """Return it."""
        return self.extra

    def set_extra_state(self, state):
        """Take it."""
        self.extra = state


def test_a_warning_is_no_refusal(tmp_path):
    """Where warnings are errors, as in this test, what torch only warns of is saved all the same."""
    path = optimkit.save(tmp_path / "last.pt", table=torch.eye(2).to_sparse())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert torch.equal(optimkit.load(path)["table"].to_dense(), torch.eye(2))


def test_a_name_that_ends_like_extra_state(tmp_path):
    """A buffer whose name only ends so is compared like any other."""
    model = nn.Module()
    model.register_buffer("my_extra_state", torch.ones(3))
    path = optimkit.save(tmp_path / "last.pt", model=model)
    model.register_buffer("my_extra_state", torch.ones(2))
    with pytest.raises(MismatchError, match="does not fit my_extra_state"):
        optimkit.load(path, model=model)


@pytest.mark.parametrize("keep", [optimkit, distributed])
def test_extra_state_of_any_shape(tmp_path, keep):
    """Whether an extra state fits, only the module knows."""
    path = keep.save(tmp_path / "last.pt", model=Growing(5))
    model = Growing(1)
    keep.load(path, model=model)
    assert model.extra.tolist() == [1.0] * 5


@pytest.mark.parametrize("keep", [optimkit, distributed])
def test_extra_state_of_several_tensors(tmp_path, keep):
    """They are there when the module takes them."""
    saved, model = Growing(1), Growing(1)
    saved.extra = {"history": [torch.arange(1000)], "step": 3}
    keep.load(keep.save(tmp_path / "last.pt", model=saved), model=model)
    assert model.extra["history"][0].sum() == 499_500
    assert model.extra["step"] == 3


def test_a_lazy_module_takes_its_shape_from_the_file(tmp_path):
    """A lazy module is loaded as torch loads it."""
    whole = nn.Linear(3, 2)
    path = optimkit.save(tmp_path / "last.pt", model=whole)
    lazy = nn.LazyLinear(2)
    optimkit.load(path, model=lazy)
    assert torch.equal(lazy.weight, whole.weight)


def test_a_sharded_tensor_is_refused(tmp_path):
    """One file would hold one process's part, and no other process could read it."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1,))
        sharded = DTensor.from_local(torch.ones(2), mesh, [Replicate()])
        with pytest.raises(UnsafeCheckpointError) as caught:
            optimkit.save(tmp_path / "last.pt", weight=sharded)
    finally:
        dist.destroy_process_group()
    assert str(caught.value) == (
        "weight: it is sharded, and this process has a part of it. "
        "Save with optimkit.checkpoint.distributed.save, or its full_tensor()."
    )
