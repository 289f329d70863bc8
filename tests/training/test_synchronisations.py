"""A training step on a device that the processor runs ahead of: it asks for nothing, and copies only the batch.

The device is simulated by `meta` tensors, which have no values: asking for one raises an error. What is copied to the
device is counted. Every kind of model, with the objective of its recipe, does a step here.
"""

import traceback

import pytest
import torch
from model_cases import slim
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from vlae import recipes
from vlae.objectives import Batch
from vlae.objectives.constants import constant, made

NUM = 8
ASKS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::is_nonzero", "aten::equal"}
PICTURE, VECTOR = (1, 16, 16), (5,)


class Crossings(TorchDispatchMode):
    """Notes what passes between the processor and the device, except from pinned memory."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = function._schema.name
        devices = {value.device.type for value in (*args, result) if isinstance(value, torch.Tensor) and value.dim()}
        if name in ASKS or (name in ("aten::_to_copy", "aten::copy_") and len(devices) > 1):
            lines = [line for line in traceback.format_stack() if "/vlae/" in line and "constants.py" not in line]
            self.seen.append(f"{name} {devices} {lines[-1] if lines else ''}")
        return result


class Made(TorchFunctionMode):
    """Notes tensors that are made of numbers of the processor on the device."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor) and result.device.type == "meta":
            self.seen.append("".join(traceback.format_stack()[-4:-1]))
        return result


def with_classes(recipe):
    return recipes.with_classes(recipe, values=(0, 1, 2), names=("a", "b", "c"))


LEAN = {"shape": PICTURE, "code_sizes": (2, 3)}
CASES = {
    "lean": lambda: recipes.lean(**LEAN),
    "lean, levels that grow": lambda: recipes.adjust(recipes.lean(**LEAN), growth="ladder"),
    "lean of vectors": lambda: recipes.lean(VECTOR, code_sizes=(2, 3)),
    "lean of high quality": lambda: recipes.lean(**LEAN, quality="high"),
    "free bits": lambda: recipes.adjust(recipes.lean(**LEAN), free_bits=1.0),
    "capacity": lambda: recipes.adjust(recipes.lean(**LEAN), capacity=(1.0, 2.0)),
    "mmd": lambda: recipes.adjust(recipes.lean(**LEAN), mmd=1.0),
    "denoise": lambda: recipes.adjust(recipes.lean(**LEAN), denoise=True),
    "learned": lambda: recipes.adjust(recipes.lean(**LEAN), scale="learned"),
    "laplace": lambda: recipes.adjust(recipes.lean(**LEAN), family="laplace"),
    "bernoulli": lambda: recipes.adjust(recipes.lean(**LEAN), family="bernoulli"),
    "pixel": lambda: recipes.adjust(recipes.lean(**LEAN), family="pixel"),
    "sharp": lambda: recipes.adjust(recipes.lean(**LEAN), sharp=True),
    "features": lambda: recipes.with_content(recipes.lean(**LEAN), num_features=7, num_data=50),
    "labels": lambda: with_classes(recipes.lean(**LEAN)),
    "labels of vectors": lambda: with_classes(recipes.lean(VECTOR, code_sizes=(2, 3))),
    "m2": lambda: with_classes(recipes.make("m2", PICTURE)),
    "m1+m2": lambda: with_classes(recipes.make("m1+m2", PICTURE)),
    **{name: (lambda name=name: recipes.make(name, PICTURE)) for name in ("m1", "joint", "vae", "hvae", "lvae")},
    **{name: (lambda name=name: recipes.make(name, (1, 16, 16))) for name in ("infogan", "implicit")},
    **{
        name: (lambda name=name: slim(recipes.make(name, (3, 32, 32), deep_heads=name != "mnist")))
        for name in ("mnist", "svhn", "celeba", "lsun")
    },
}


def step_on_device(recipe, step):
    """The model, the objective's networks and what crossed in a step on a device."""
    model = recipes.build(recipe).train()
    networks = recipe.objective.networks(model)
    model.to("meta")
    if networks is not None:
        networks.to("meta")
    if recipe.name == "infogan":
        networks.distance.is_fitted = True  # the very first step of a process is another: it finds the components
    x = torch.rand(NUM, *recipe.shape, device="meta")
    batch = Batch(x, rows=torch.zeros(NUM, dtype=torch.int64, device="meta"))
    if recipe.classes is not None:
        batch = batch._replace(labels=torch.zeros(NUM, dtype=torch.int64, device="meta"))
    if model.num_features:
        batch = batch._replace(features=torch.rand(NUM, model.num_features, device="meta"))
    for _ in range(2):  # constants are copied at the first
        for part in (model, networks):
            if part is not None:
                part.zero_grad()
        with Crossings() as crossings, Made() as made:
            loss = recipe.objective.loss(model, batch, step=step, progress=0.5, networks=networks)
            loss.total.backward()
            terms = loss.terms.detach()
    assert terms.device.type == "meta" and len(terms) == len(recipe.objective.terms(model.num_levels))
    return model, networks, crossings.seen + made.seen


PENALISED = ("sharp", "infogan", "implicit")  # every fourth step has gradient penalties


@pytest.mark.parametrize(("case", "step"), [*((case, 1) for case in CASES), *((case, 4) for case in PENALISED)])
def test_a_step_asks_the_device_for_nothing(case, step):
    model, networks, seen = step_on_device(CASES[case](), step)
    assert not seen, "\n".join(seen)
    parts = [part for part in (model, networks) if part is not None]
    idle = [name for part in parts for name, value in part.named_parameters() if value.grad is None]
    assert not idle, f"several devices would wait for gradients that never come: {idle}"


def test_the_test_finds_what_it_looks_for():
    x = torch.rand(3, device="meta")
    with Crossings() as crossings:
        torch.tensor([1.0, 2.0]).to(x.device)
    assert len(crossings.seen) == 1
    with Made() as made:
        torch.tensor([1.0], device=x.device)
        x.new_tensor([1.0])
    assert len(made.seen) == 2
    with pytest.raises(RuntimeError), Crossings():
        x.sum().item()
    with pytest.raises((RuntimeError, NotImplementedError)):
        x[x > 0]


def test_constants_are_copied_once():
    made.cache_clear()
    with Crossings() as crossings:
        for _ in range(3):
            assert constant((1.0, 2.0), torch.device("meta")).shape == (2,)
    assert len(crossings.seen) == 1
