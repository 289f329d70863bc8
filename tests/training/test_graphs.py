"""CUDA graphs: their logic with a recorder that runs on the processor, and the real ones where there is a GPU."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from vlae import recipes
from vlae.objectives.base import Batch, StepInputs
from vlae.objectives.constants import Places, constant
from vlae.objectives.critic import AdversarialELBO
from vlae.objectives.elbo import ELBO
from vlae.objectives.enumerated import EnumeratedELBO
from vlae.objectives.features import FeaturesELBO
from vlae.objectives.few_labels import FewLabels
from vlae.training import graphs, loop
from vlae.training.batches import Batches
from vlae.training.loop import Engine, Recorder
from vlae.training.trainer import quiet, trainer_of

GREY, COLOUR, VECTOR = (1, 16, 16), (3, 16, 16), (12,)
CLASSES = {"values": (0, 1, 2), "names": ("a", "b", "c")}

CASES = {
    "lean": lambda: recipes.lean(COLOUR),
    "levels that grow": lambda: recipes.adjust(recipes.lean(GREY), growth="ladder"),
    "warm-up": lambda: recipes.adjust(recipes.lean(GREY), warmup=5.0),
    "capacity": lambda: recipes.adjust(recipes.lean(GREY), capacity=2.0),
    "free bits": lambda: recipes.adjust(recipes.lean(GREY), free_bits=1.0),
    "mmd": lambda: recipes.adjust(recipes.lean(GREY), mmd=1.0),
    "denoise": lambda: recipes.adjust(recipes.lean(GREY), denoise=True),
    "sharp": lambda: recipes.adjust(recipes.lean(GREY), sharp=True),
    "labels": lambda: recipes.adjust(recipes.with_classes(recipes.lean(GREY), **CLASSES), labelled=4),
    "m2": lambda: recipes.adjust(recipes.with_classes(recipes.make("m2", GREY), **CLASSES), labelled=4),
    "vectors": lambda: recipes.adjust(recipes.lean(VECTOR), growth="ladder"),
    **{name: (lambda name=name: recipes.make(name, GREY)) for name in ("hvae", "lvae", "infogan", "implicit")},
}


class LoosePlaces(Places):
    """Places that do not check what is asked for while a recording is replayed."""

    latest = None
    replaying = False

    def __init__(self, numbers, device):
        super().__init__(numbers, device)
        LoosePlaces.latest = self

    def take(self, values):
        return super().take(self.numbers[self.num_taken] if self.replaying else values)


class Replayed:
    """A recording on the processor. Like a graph it changes nothing when it is made, and writes to the same memory."""

    def __init__(self, parts, work):
        self.parts, self.work, self.places = parts, work, LoosePlaces.latest
        states = [copy.deepcopy(part.state_dict()) for part in parts]
        random = torch.get_rng_state()
        step = work()
        for part, state in zip(parts, states, strict=True):
            part.load_state_dict(state)
        torch.set_rng_state(random)
        self.step, self.memory = step, self.made(step)
        for tensor in self.memory:
            tensor.fill_(float("nan"))  # nothing was run

    def made(self, step):
        gradients = [each.grad for part in self.parts for each in part.parameters() if each.grad is not None]
        return [step.total, step.terms, *step.means, *gradients]

    def replay(self):
        self.places.replaying = True
        with self.places.taken():
            step = self.work()
        for tensor, value in zip(self.memory, self.made(step), strict=True):
            tensor.copy_(value)


def trained(recipe, device, *, recorded, monkeypatch, steps):
    """The weights after a training, its curves, and its graphs."""
    recipe = recipes.adjust(recipe, steps=steps, batch_size=16, augment="none", precision="fp32")
    rng = np.random.default_rng(0)
    if len(recipe.shape) == 1:
        values = rng.normal(size=(100, *recipe.shape)).astype(np.float32)
    else:
        values = rng.integers(0, 256, (100, *recipe.shape), dtype=np.uint8)
    labels = rng.integers(-1, 3, 100) if recipe.classes is not None else None
    torch.manual_seed(0)
    engine, made = Engine(recipes.build(recipe), recipe), []
    parts = [part for part in (engine.model, engine.networks) if part is not None]

    def record(work):
        replayed = Replayed(parts, work)
        return replayed, replayed.step

    def new_graphs(*given):
        made.append(graphs.Graphs(*given, **({"record": record} if device == "cpu" else {})))
        return made[-1]

    with monkeypatch.context() as patched:
        if device == "cpu":
            patched.setattr(graphs, "Places", LoosePlaces)
        patched.setattr(loop, "Graphs", new_graphs)
        patched.setattr(loop, "is_gpu", lambda trainer: True)
        patched.setenv("VLAE_CUDA_GRAPHS", str(int(recorded)))
        recorder = Recorder(engine, None, progress=False)
        trainer = trainer_of(recipe, recorder, accelerator="gpu" if device == "cuda" else "cpu")
        with quiet():
            trainer.fit(engine, Batches(values, labels, recipe.training, trainer))
    assert engine.graphs is None  # their memory is given back
    weights = {name: value.cpu() for name, value in engine.state_dict().items()}
    return weights, recorder.curves.rows, made[0] if made else None


ON_DEVICES = [(case, "cpu") for case in CASES]
if torch.cuda.is_available():
    ON_DEVICES += [(case, "cuda") for case in CASES]


def farthest(weights, others):
    return max(float((weights[name] - others[name]).abs().max()) for name in weights if weights[name].numel())


@pytest.mark.parametrize(("case", "device"), ON_DEVICES)
def test_recorded_steps_give_the_same_model(case, device, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    recipe = CASES[case]()
    if recipe.mean is None:
        recipe = replace(recipe, mean=0.0, stddev=1.0)
    given = {"monkeypatch": monkeypatch, "steps": 70 if case == "infogan" else 30}  # it has four kinds of steps
    weights, rows, none = trained(recipe, device, recorded=False, **given)
    same, same_rows, found = trained(recipe, device, recorded=True, **given)
    assert none is None and found.works
    assert len(found.recorded) == {"sharp": 2, "implicit": 2, "infogan": 4}.get(case, 1)
    if device == "cuda":  # where a gradient is added up in any order, two trainings without graphs differ, too
        again, *_ = trained(recipe, device, recorded=False, **given)
        assert farthest(same, weights) <= 10 * farthest(again, weights)
        return
    for name, value in weights.items():
        torch.testing.assert_close(same[name], value, rtol=0, atol=0, msg=name)
    timed = {1, 2}  # seconds, and pictures a second
    for row, other in zip(rows, same_rows, strict=True):
        assert [v for i, v in enumerate(row) if i not in timed] == [v for i, v in enumerate(other) if i not in timed]


def graphs_of(recipe, record, monkeypatch):
    monkeypatch.setattr(graphs, "EAGER_STEPS", 0)
    return graphs.Graphs(recipes.build(recipe).train(), recipe.objective, None, record=record)


def batch_of(recipe):
    return Batch(torch.randint(0, 256, (8, *recipe.shape), dtype=torch.uint8))


def test_where_nothing_can_be_recorded_the_training_goes_on(monkeypatch):
    recipe = recipes.lean(GREY)

    def record(work):
        raise RuntimeError("operation not permitted when stream is capturing")

    found = graphs_of(recipe, record, monkeypatch)
    with pytest.warns(UserWarning, match="no CUDA graph could be recorded, so training is slower: operation not"):
        assert found.run(batch_of(recipe), step=5, progress=0.1) is None
    assert found.run(batch_of(recipe), step=6, progress=0.1) is None  # and is not told again


def test_a_loss_that_takes_what_it_did_not_say_is_not_recorded(monkeypatch):
    class Forgetful(ELBO):
        def step_inputs(self, step, progress, code_sizes):
            return StepInputs()

    recipe = recipes.lean(GREY, code_sizes=(2, 2, 4))
    found = graphs_of(replace(recipe, objective=Forgetful()), lambda work: (None, work()), monkeypatch)
    with pytest.warns(UserWarning, match="which its step_inputs do not say"):
        assert found.run(batch_of(recipe), step=5, progress=0.1) is None
    assert Places.now.get() is None and constant((1.0,), torch.device("cpu")).item() == 1


def test_a_loss_of_another_must_say_anew_what_it_takes():
    class Other(ELBO):
        def loss(self, model, batch, *, step, progress, networks=None):
            return super().loss(model, batch, step=step, progress=progress)

    class Weighted(ELBO):
        def weighted(self, forward, x, *, step, progress, fade):
            return super().weighted(forward, x, step=step, progress=progress, fade=fade)

    class Mixin:
        def loss(self, model, batch, *, step, progress, networks=None):
            return super().loss(model, batch, step=step, progress=progress)

    class Mixed(Mixin, ELBO):
        pass

    class Faded(ELBO):  # which step_inputs follows
        def fade(self, progress, code_sizes):
            return (0.5,) * len(code_sizes)

    for silent in (Other, Weighted, Mixed):
        assert silent().step_inputs(0, 0.0, (2, 2)) is None
    assert Faded().step_inputs(0, 0.0, (2, 2)).numbers[0] == (0.5, 0.5)
    for kind in (ELBO, FeaturesELBO, FewLabels, EnumeratedELBO, AdversarialELBO):
        assert kind().step_inputs(1, 0.5, (2, 2)) is not None


def test_few_kinds_of_steps_are_recorded(monkeypatch):
    """A branch that never comes again would fill the memory."""
    recipe = recipes.lean(GREY, code_sizes=(2, 2, 4))

    class Busy(ELBO):
        def step_inputs(self, step, progress, code_sizes):
            return super().step_inputs(step, progress, code_sizes)._replace(branch=step)

    class Nothing:
        def replay(self):
            pass

    found = graphs_of(replace(recipe, objective=Busy()), lambda work: (Nothing(), work()), monkeypatch)
    batch = batch_of(recipe)
    assert [found.run(batch, step=step, progress=0.5) is not None for step in range(10)] == [True] * 8 + [False] * 2
