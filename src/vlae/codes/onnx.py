"""Export of a run to ONNX: encoder, decoder and sampler, each checked against the model, and an encoder in 8 bits.

The encoder returns the mean and the standard deviation of each level's posterior. A conditional posterior depends on
the means of the other levels. The decoder returns the picture of the codes of all levels. The sampler returns codes
of the run's prior. The metadata of the files describe their inputs and outputs.
"""

import copy
import json
import logging
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from vlae.atomic import remove, whole, writing
from vlae.codes.encoder import error_of
from vlae.data.depths import listed_range
from vlae.errors import MissingExtraError
from vlae.evaluation import level_card
from vlae.models.base import LatentModel
from vlae.models.inference import as_input, check_values, evaluating
from vlae.models.priors import MixturePrior
from vlae.runs import Run, RunError
from vlae.runs.layout import ONNX
from vlae.shapes import is_image, level_column

OPSET = 18
"""The default version of the ONNX operators."""

TOLERANCE = 1e-4
"""The largest absolute difference between ONNX Runtime and PyTorch."""

BATCH_SIZES = (1, 5)
"""The batch sizes of the check, besides all examples at once. The model is traced with 3."""


FILES = ("encoder.onnx", "decoder.onnx", "sampler.onnx", "encoder-int8.onnx")
"""What an export may write. Those that it does not write are removed, as they are of an earlier one."""


class _Encoder(nn.Module):
    """Images, and features of full-size pictures if the model reads any → mean and deviation of every level's code."""

    def __init__(self, model: LatentModel):
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        posteriors = self.model.infer(*inputs)
        chosen = [posteriors[level - 1] for level in self.model.levels_with_code]
        return tuple(part for q in chosen for part in (q.mean, q.stddev))


class _Decoder(nn.Module):
    """A code for every level that has one → images."""

    def __init__(self, model: LatentModel):
        super().__init__()
        self.model = model

    def forward(self, *codes: Tensor) -> Tensor:
        nonempty = iter(codes)
        empty = codes[0].new_zeros(codes[0].shape[0], 0)
        return self.model.decode(tuple(next(nonempty) if size else empty for size in self.model.code_sizes))


class _Sampler(nn.Module):
    """Standard normal and uniform noise → a code of the prior for every level that has one."""

    shares: Tensor
    means: Tensor
    factors: Tensor

    def __init__(self, model: LatentModel, prior: MixturePrior):
        super().__init__()
        self.model = model
        self.register_buffer("shares", prior.weights.cumsum(0)[:-1].float())
        self.register_buffer("means", prior.means.float())
        self.register_buffer("factors", prior.factors.float())

    def forward(self, *noise: Tensor) -> tuple[Tensor, ...]:
        normal, uniform = noise
        component = (uniform > self.shares).sum(1)
        factors = self.factors[component % self.factors.shape[0]]
        points = self.means[component] + (factors @ normal[..., None])[..., 0]
        codes = self.model.place(torch.split_with_sizes(points, list(self.model.code_sizes), dim=1))
        return tuple(codes[level - 1] for level in self.model.levels_with_code)


def export(
    run: Run,
    out: str | Path | None = None,
    *,
    quantize: Literal["int8"] | None = None,
    opset: int | None = None,
    examples: np.ndarray | None = None,
) -> dict[str, Any]:
    """Write encoder.onnx, decoder.onnx and sampler.onnx, if their outputs are PyTorch's to 1e-4, relative above 1.

    Batches may have any size. Inputs and outputs: `images` (or `vectors`), float32 (N, C, H, W) in [0, 1];
    `level1_mean`, `level1_stddev`, …; for the decoder `level1_code`, … A run that reads features of full-size pictures
    has a second input of the encoder, `features`, float32 (N, F); its network is not exported. The sampler turns
    `normal`, float32 (N, D) from N(0, I), D dimensions of all codes together, and `uniform`, float32 (N, 1) from
    [0, 1), into codes of the run's prior for the decoder.

    Args:
        run: a run of any model that has an encoder.
        out: the folder for the files. Those of an earlier export are replaced or removed. None: onnx/ in the
            run's `outputs`.
        quantize: "int8" also writes encoder-int8.onnx: convolutions and dense layers in 8 bits. Half of the examples
            calibrate it, and the other half measure its error. None: no quantization.
        opset: the version of the ONNX operators. None: 18.
        examples: the data of the check, uint8 (N, C, H, W) images, 0 to 255, or float32 (N, D) vectors. None: the run's
            held-out examples.

    Returns:
        `files`, the paths; `opset`; `differences`, the largest absolute difference of every output; `no_sampler`, the
        reason if the sampler cannot be written, as for a kind of code that ONNX cannot draw; and for 8 bits
        `int8`: method, codes (mean and max absolute error in units of each level's spread, and of_posterior, its mean
        in units of the posterior's standard deviation), mse (squared error of the reconstruction from each encoder's
        codes; of vectors error_stddevs, the error in standard deviations of the columns), seconds_per_image of each
        encoder, and their ratio, speedup.

    Raises:
        MissingExtraError: if the extra "export" is not installed.
        NotDefinedError: if the model has no encoder.
        RunError: if there are no examples, there is no such opset, or the files do not give what PyTorch gives.
        ValueError: if there is no such quantization, or the examples have another shape or range than the run's data.
        WriteError: if the files cannot be written.
    """
    _require()
    run.model.require("encoder")
    if quantize not in (None, "int8"):
        raise ValueError(f"quantize is {quantize!r}; choose 'int8', or leave it out")
    data = run.examples if examples is None else check_values(examples, run.recipe.shape)
    if len(data) < (2 if quantize else 1):
        raise RunError(f"{run.name} has {len(data)} held-out examples to check an export with; give some as `examples`")
    if run.model.device.type != "cpu":  # where ONNX Runtime checks what is written
        run = replace(run, model=copy.deepcopy(run.model).to("cpu"))
    out = run.outputs / ONNX if out is None else Path(out)
    opset = OPSET if opset is None else opset
    images = as_input(data)
    levels = [level_column(level) for level in run.model.levels_with_code]
    codes = [f"{level}_code" for level in levels]
    moments = [f"{level}_{moment}" for level in levels for moment in ("mean", "stddev")]
    picture = "images" if is_image(run.recipe.shape) else "vectors"

    with evaluating(run.model):
        inputs, module = {picture: images}, _Encoder(run.model)
        if run.model.num_features:
            inputs["features"] = run.model.features_of(images)
        encoder = _traced(module, tuple(each[:3] for each in inputs.values()), list(inputs), moments, opset)
        means = module(*inputs.values())[0::2]
        decoder = _traced(_Decoder(run.model), tuple(mean[:3] for mean in means), codes, [picture], opset)
        result: dict[str, Any] = {"files": [], "opset": opset}
        result["differences"] = {
            **_checked("encoder", encoder, module, tuple(inputs.values())),
            **_checked("decoder", decoder, _Decoder(run.model), means),
        }
        written = {"encoder.onnx": encoder, "decoder.onnx": decoder}
        noise, sampler = _noise(run, len(images)), _Sampler(run.model, run.prior)
        try:
            traced = _traced(sampler, tuple(part[:3] for part in noise), ["normal", "uniform"], codes, opset)
            result["differences"] |= _checked("sampler", traced, sampler, noise)
            written["sampler.onnx"] = traced
        except RunError as error:  # codes of kinds that ONNX has no operator for
            result["no_sampler"] = str(error)
        described = _described(run) | {"checked": {"differences": result["differences"], "num_examples": len(data)}}
        if quantize:
            small, result["int8"] = _quantized(run, encoder, {name: each.numpy() for name, each in inputs.items()})
            written["encoder-int8.onnx"] = small
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            if name not in written:
                remove(out / name)
    for name, model in written.items():
        extra = {"quantization": result["int8"]} if "int8" in name else {}
        extra |= {"prior": run.prior.describe()} if name == "sampler.onnx" else {}
        _write(out / name, model, described | extra)
        result["files"].append(str(out / name))
    return result


def as_text(result: Mapping[str, Any]) -> str:
    """Return the result of an export as lines of text.

    Args:
        result: the dict that `export` returned.
    """
    lines = [f"ONNX opset {result['opset']}; greatest differences from PyTorch on held-out data:"]
    lines += [f"  {name:<14} {difference:.1e}" for name, difference in result["differences"].items()]
    if reason := result.get("no_sampler"):
        lines.append(f"sampler.onnx is not written: {reason}")
    if small := result.get("int8"):
        key, words = ("mse", "squared error of the pictures")
        if "error_stddevs" in small:
            key, words = ("error_stddevs", "error of the rows, in standard deviations")
        error = small[key]
        lines += [
            f"int8 encoder: {small['speedup']:.2f} times as fast as fp32 in ONNX Runtime here",
            "what its codes lose, in units of each level's spread; beside it in deviations of the posterior:",
            *(
                f"  {name:<14} mean {loss['mean']:.3f}, max {loss['max']:.3f}; mean {loss['of_posterior']:.3f}"
                for name, loss in small["codes"].items()
            ),
            f"  {words} {error['fp32']:.5f} → {error['int8']:.5f}",
        ]
    return "\n".join(lines)


def _noise(run: Run, num: int) -> tuple[Tensor, Tensor]:
    """Noise on which the sampler is traced and checked."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(num, sum(run.recipe.code_sizes), generator=generator), torch.rand(num, 1, generator=generator)


def _require() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f'ONNX files are written with {error.name}, which is not installed: pip install "vlae[export]"'
        ) from error


def _traced(
    module: nn.Module, inputs: tuple[Tensor, ...], input_names: Sequence[str], output_names: Sequence[str], opset: int
) -> Any:
    """Export a module to an ONNX model for batches of any size."""
    if len(inputs[0]) < 2:  # a batch of one would become a constant
        inputs = tuple(torch.cat([each, each]) for each in inputs)
    with _quiet():
        try:
            exported = torch.onnx.export(
                module.eval(),
                inputs,
                input_names=input_names,
                output_names=output_names,
                dynamic_shapes=(tuple({0: "batch"} for _ in inputs),),  # of *inputs, one argument
                opset_version=opset,
                dynamo=True,
                verbose=False,
            )
        except Exception as error:
            raise RunError(f"the model cannot be written as ONNX of opset {opset}: {error}") from error
    assert exported is not None
    model = exported.model_proto
    written = next(each.version for each in model.opset_import if not each.domain)
    if written != opset:  # a conversion that failed leaves the version as it was
        raise RunError(f"the model cannot be written as ONNX of opset {opset}; leave it out, which gives {written}")
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.onnx._internal.exporter._registration")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _checked(what: str, model: Any, module: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, float]:
    """Return the largest difference of every output, over batches of several sizes; of numbers above 1, relative.

    Raises:
        RunError: if a difference is larger than `TOLERANCE`.
    """
    try:
        session = _session(model.SerializeToString())
    except Exception as error:  # ONNX Runtime's errors have no class in common
        raise RunError(f"ONNX Runtime cannot run the {what}: {error}") from error
    names = [output.name for output in session.get_outputs()]
    largest = dict.fromkeys(names, 0.0)
    for size in {min(size, len(inputs[0])) for size in (*BATCH_SIZES, len(inputs[0]))}:
        batch = tuple(each[:size] for each in inputs)
        expected = module(*batch)
        outputs = session.run(None, {x.name: each.numpy() for x, each in zip(session.get_inputs(), batch, strict=True)})
        for name, a, b in zip(names, outputs, expected if isinstance(expected, tuple) else (expected,), strict=True):
            difference = np.abs(a - b.numpy()) / np.maximum(1, np.abs(b.numpy()))  # a column may be of any size
            largest[name] = float(np.maximum(largest[name], difference.max()))  # keeps what is not a number
    if not all(difference <= TOLERANCE for difference in largest.values()):
        worst = np.max(list(largest.values()))
        raise RunError(f"the {what} in ONNX differs from the model by {worst:.1e}; it is not written")
    return largest


def _session(model: bytes | str, *, threads: int = 0) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _described(run: Run) -> dict[str, Any]:
    """Return what a program must know besides the names and shapes in the graph."""
    shape, evaluation = run.recipe.shape, run.evaluation
    described: dict[str, Any] = {
        "vlae": {"run": run.name, "model": run.recipe.model, "recipe": run.recipe.name},
        "code_sizes": list(run.recipe.code_sizes),
        "levels": {str(card.level): card.title for card in level_card.level_cards(evaluation)} if evaluation else {},
        "decoded": "mean of the likelihood",
    }
    if run.network is not None:
        described["features"] = {
            "network": run.network.short_name,
            "sha256": run.network.sha256,
            "side": run.network.side,
            "of": "the full-size picture, brought to the proportions of the images, then squashed to a square",
        }
    if not is_image(shape):
        return described | {"preprocessing": {"values": "float32, as in the table", "dimensions": shape[0]}}
    channels, height, width = shape
    cut = f"to the proportions {width}:{height}"
    fits = {"crop": f"cut {cut}, in the middle", "pad": f"edges repeated {cut}", "squash": "squashed"}
    colours = {1: "grey", 2: "grey, alpha", 3: "red, green, blue", 4: "red, green, blue, alpha"}
    values = "bytes divided by 255"
    if run.value_range is not None:
        values = f"the numbers {listed_range(run.value_range)} of the channels, mapped to 0 to 1 and clipped"
    return described | {
        "preprocessing": {
            "values": f"float32 in [0, 1]: {values}",
            "layout": "N C H W",
            "channels": colours.get(channels if run.model.opacity or channels in (1, 3) else 0, str(channels)),
            "crop": f"{run.data['crop']} pixels in the middle" if run.data.get("crop") else "none",
            "fit": fits[run.data.get("fit") or "crop"],
            "resize": f"{height} × {width} pixels, Lanczos",
        }
    }


def _write(path: Path, model: Any, described: Mapping[str, Any]) -> None:
    import onnx

    shapes = {
        kind: {value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] for value in values}
        for kind, values in (("inputs", model.graph.input), ("outputs", model.graph.output))
    }
    onnx.helper.set_model_props(
        model, {name: json.dumps(value, ensure_ascii=False) for name, value in {**described, **shapes}.items()}
    )
    with whole(path) as file:
        file.write_bytes(model.SerializeToString())


# Eight bits ----------------------------------------------------------------------------------------------------------


def _quantized(run: Run, encoder: Any, inputs: Mapping[str, np.ndarray]) -> tuple[Any, dict[str, Any]]:
    """Return the encoder in 8 bits, and its error. Even data calibrate it, odd data measure it."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter([{name: each[0::2] for name, each in inputs.items()}])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.batches, None)

    with tempfile.TemporaryDirectory() as folder, _quiet():
        full, plain, small = (Path(folder) / f"{name}.onnx" for name in ("full", "plain", "small"))
        full.write_bytes(encoder.SerializeToString())
        quant_pre_process(str(full), str(plain), skip_symbolic_shape=True)
        logging.disable(logging.WARNING)
        try:
            quantize_static(
                str(plain),
                str(small),
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                reduce_range=False,
            )
        finally:
            logging.disable(logging.NOTSET)
        model = onnx.load(str(small))
    odd = {name: each[1::2] for name, each in inputs.items()}
    lost = _loss(run, encoder.SerializeToString(), model.SerializeToString(), odd)
    return model, {"method": "static, QDQ, per channel, calibrated on held-out examples", **lost}


def _loss(run: Run, full: bytes, small: bytes, inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Measure the error that 8 bits add to codes and pictures, and the time they save."""
    sessions = {"fp32": _session(full), "int8": _session(small)}
    images = next(iter(inputs.values()))
    moments = {kind: session.run(None, inputs) for kind, session in sessions.items()}
    means = {kind: each[0::2] for kind, each in moments.items()}
    codes = {}
    levels = run.model.levels_with_code
    for level, exact, rough, stddev in zip(levels, means["fp32"], means["int8"], moments["fp32"][1::2], strict=True):
        spread = max(float(exact.std(0).mean()), 1e-12)
        error = np.abs(exact - rough) / spread
        doubt = np.abs(exact - rough) / np.maximum(stddev, 1e-12)
        codes[f"{level_column(level)}_mean"] = {
            "mean": float(error.mean()),
            "max": float(error.max()),
            "of_posterior": float(doubt.mean()),
        }
    decoder = _Decoder(run.model)
    errors = {}
    for kind, codes_of_kind in means.items():
        decoded = decoder(*(torch.from_numpy(code) for code in codes_of_kind))
        errors[kind] = float(error_of(run.model, decoded, torch.from_numpy(images)).mean())
    seconds = _timed(sessions, {name: np.resize(each, (64, *each.shape[1:])) for name, each in inputs.items()})
    return {
        "codes": codes,
        "mse" if is_image(run.recipe.shape) else "error_stddevs": errors,
        "seconds_per_image": seconds,
        "speedup": seconds["fp32"] / seconds["int8"],
        "num_examples": len(images),
    }


def _timed(sessions: Mapping[str, Any], inputs: Mapping[str, np.ndarray], *, rounds: int = 9) -> dict[str, float]:
    """Return the median seconds per image of every session, in alternating rounds."""
    taken: dict[str, list[float]] = {kind: [] for kind in sessions}
    for _ in range(rounds):
        for kind, session in sessions.items():
            start = time.perf_counter()
            session.run(None, inputs)
            taken[kind].append(time.perf_counter() - start)
    num = len(next(iter(inputs.values())))
    return {kind: median(each) / num for kind, each in taken.items()}
