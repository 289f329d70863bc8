"""CUDA graphs: the kernels of a step are recorded once and then started together, which spares the processor's time."""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from vlae.models.base import LatentModel
from vlae.models.inference import as_input
from vlae.nn.layers import without_autocast
from vlae.objectives.base import Batch, Loss, Objective
from vlae.objectives.constants import Places

EAGER_STEPS = 3
"""Steps of a kind that are run before one is recorded; libraries make in them what they need."""

MOST_GRAPHS = 8
"""The most kinds of steps that are recorded; each takes the memory of a step."""

SWITCH = "VLAE_CUDA_GRAPHS"
"""The environment variable that, set to 0, leaves graphs out."""


def wanted() -> bool:
    """Whether the environment leaves graphs in."""
    return os.environ.get(SWITCH) != "0"


class Recording(Protocol):
    """Kernels that were recorded."""

    def replay(self) -> None:
        """Runs them again, on the same memory."""


class Step(NamedTuple):
    """What a step gives."""

    total: Tensor
    """The loss."""
    terms: Tensor
    """Its terms, without gradients."""
    means: list[Tensor]
    """The posterior means of every level, without gradients; empty if there was no forward pass."""

    @classmethod
    def of(cls, loss: Loss) -> "Step":
        """What a loss gives.

        Args:
            loss: of the step.
        """
        posteriors = () if loss.forward is None else loss.forward.posteriors
        return cls(loss.total, loss.terms.detach(), [posterior.mean.detach() for posterior in posteriors])


Record = Callable[[Callable[[], Step]], tuple[Recording, Step]]
"""Records what a function does, and gives what it returned, whose memory is written when the recording is replayed."""


def record(work: Callable[[], Step]) -> tuple[Recording, Step]:
    """Records the kernels that some work starts on a GPU; none of them is run.

    Args:
        work: what to record.
    """
    graph, stream, random = torch.cuda.CUDAGraph(), torch.cuda.current_stream(), torch.cuda.default_generators
    try:
        with torch.cuda.graph(graph, stream=torch.cuda.Stream()):
            step = work()
    except BaseException:  # PyTorch leaves its stream and its generator as they were in the recording
        torch.cuda.set_stream(stream)
        generator = random[torch.cuda.current_device()]
        generator.graphsafe_set_state(generator.clone_state())
        raise
    return graph, step


class _Recorded(NamedTuple):
    """A step that was recorded, with the memory it reads and writes."""

    recording: Recording
    batch: Batch
    places: Places
    step: Step
    gradients: list[Tensor | None]


class Graphs:
    """The steps of a training as CUDA graphs: the same kernels with the same results, started together.

    A graph is recorded for every branch of the objective and every shape of the batch, up to MOST_GRAPHS. What changes
    from step to step, the batch and the numbers that follow a schedule, is copied to where the graph reads it. The
    random numbers are those of a step that is not recorded. Where recording fails, a warning is given, and no more is
    recorded.

    Args:
        model: the model in training.
        objective: what the training minimises.
        networks: the networks of the objective, or None.
        record: records kernels.
    """

    def __init__(
        self, model: LatentModel, objective: Objective, networks: nn.Module | None, *, record: Record = record
    ):
        self.model, self.objective, self.networks, self.record = model, objective, networks, record
        self.recorded: dict[object, _Recorded] = {}
        self.seen: Counter[object] = Counter()  # steps of each kind
        self.works = True

    def run(self, batch: Batch, *, step: int, progress: float) -> Step | None:
        """Loss and gradients of a step; None: it has to be run without a graph.

        Args:
            batch: the data of this step, on the GPU.
            step: the number of the step, from 0.
            progress: the share that the schedules follow, in [0, 1].
        """
        inputs = self.objective.step_inputs(step, progress, self.model.code_sizes) if self.works else None
        if inputs is None:
            return None
        shapes = tuple(None if part is None else (part.shape, part.dtype) for part in batch)
        key = (inputs.branch, tuple(map(len, inputs.numbers)), shapes)
        if key not in self.recorded:
            self.seen[key] += 1
            if self.seen[key] <= EAGER_STEPS or len(self.recorded) >= MOST_GRAPHS:
                return None
            try:
                self.recorded[key] = self._recorded(batch, step, progress, inputs.numbers)
            except RuntimeError as error:
                self.works = False
                self.recorded.clear()
                torch.clear_autocast_cache()  # of weights that were recorded, and never cast
                warnings.warn(
                    f"no CUDA graph could be recorded, so training is slower: {error}. If it fails now, try again with "
                    f"{SWITCH}=0 in the environment",
                    stacklevel=2,
                )
                return None
        found = self.recorded[key]
        found.places.set(inputs.numbers)
        for place, part in zip(found.batch, batch, strict=True):
            if place is not None and part is not None:
                place.copy_(part, non_blocking=True)
        found.recording.replay()
        for parameter, gradient in zip(self._parameters(), found.gradients, strict=True):
            parameter.grad = gradient
        return found.step

    def _parameters(self) -> Iterator[nn.Parameter]:
        for part in (self.model, self.networks):
            if part is not None:
                yield from part.parameters()

    def _recorded(self, batch: Batch, step: int, progress: float, numbers: tuple[tuple[float, ...], ...]) -> _Recorded:
        """Records a step."""
        held = Batch._make(None if part is None else part.clone() for part in batch)
        places = Places(numbers, held.x.device)

        def work() -> Step:
            for parameter in self._parameters():
                parameter.grad = None
            seen = held._replace(x=as_input(held.x))
            loss = self.objective.loss(self.model, seen, step=step, progress=progress, networks=self.networks)
            with without_autocast(held.x.device):  # as Lightning runs it
                loss.total.backward()
            return Step.of(loss._replace(total=loss.total.detach()))

        with places.taken():
            recording, step_made = self.record(work)
        gradients = [parameter.grad for parameter in self._parameters()]
        return _Recorded(recording, held, places, step_made, gradients)
