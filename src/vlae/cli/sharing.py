"""Give a run to others: the hub, ONNX, a web page."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def share(
    run: Path,
    repository: str | None = None,
    /,
    *,
    out: Path | None = None,
    examples: bool = True,
    license: str | None = None,
    private: Annotated[bool | None, Parameter(negative=("--public",))] = None,
) -> None:
    """Upload a run to the Hugging Face hub with a model card, or write what would be uploaded into a folder.

    Shared are the weights, recipe, numbers, curves and, unless you say --no-examples, up to 64 held-out data.

    Args:
        run: Folder of the run; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        repository: USER/NAME on the hub, made if it is not there. Log in first with: hf auth login.
        out: New folder to write instead.
        examples: Share the held-out examples too, which are some of your data.
        license: Of what is shared, as the hub names it: apache-2.0, cc-by-4.0.
        private: A new repository is seen by its owner alone; --public: by all.
    """
    from vlae.runs.run import load

    if (repository is None) == (out is None):
        raise ValueError("give either a repository, USER/NAME, or a folder, --out FOLDER")
    trained = load(run)
    if out is not None:
        trained.save_pretrained(out, examples=examples, license=license)
        place = str(out)
    else:
        place = trained.push_to_hub(str(repository), examples=examples, license=license, private=private)
    num = len(trained.examples) if examples else 0
    print(f"shared weights, recipe, numbers, curves and {num} held-out examples", file=sys.stderr)
    print(place)


def export(
    run: Path, /, *, out: Path | None = None, quantize: Literal["int8"] | None = None, opset: int | None = None
) -> None:
    """Write a run's encoder and decoder as ONNX files, checked against the model on its held-out examples.

    Args:
        run: Folder of the run; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        out: Folder for encoder.onnx and decoder.onnx; by default onnx/ in the run's folder, or below runs/ for a run
            that is not yours. Files of an earlier export are replaced.
        quantize: int8: write encoder-int8.onnx too, and say what it loses and gains.
        opset: Version of ONNX's operators; by default 18.
    """
    from vlae.codes import onnx as onnx
    from vlae.runs.run import load

    found = onnx.export(load(run), out, quantize=quantize, opset=opset)
    print(onnx.as_text(found), file=sys.stderr)
    for file in found["files"]:
        print(file)


def explore(
    run: Path,
    /,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    share: Annotated[bool, Parameter(negative=())] = False,
    password: Annotated[str | None, Parameter(env_var="VLAE_PASSWORD")] = None,
    open_browser: Annotated[bool, Parameter(name="--open", negative=())] = False,
) -> None:
    """Open a web page on which a run can be seen, touched and understood; only this machine can reach it.

    Args:
        run: Folder of the run.
        host: Address to listen at; 0.0.0.0 lets other machines in, and needs a password.
        port: To listen at; by default the first free one from 7860 up.
        share: Also make a public link through Gradio's servers; needs a password.
        password: Asked of every visitor, whose name is vlae; better given as VLAE_PASSWORD in the environment.
        open_browser: Open the page in this machine's browser.
    """
    from vlae.runs.run import load
    from vlae.web import app

    app.explore(load(run), host=host, port=port, share=share, password=password, open_browser=open_browser)
