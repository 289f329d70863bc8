"""The commands that share a run: on the hub, as ONNX files, as a web page."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from vlae.atomic import check_free
from vlae.cli import checks
from vlae.cli.options import AsJson
from vlae.cli.output import print, print_json


def share(
    run: Path,
    repository: str | None = None,
    /,
    *,
    out: Path | None = None,
    examples: bool = True,
    license: str | None = None,
    private: Annotated[bool | None, Parameter(negative=("--public",))] = None,
    as_json: AsJson = False,
) -> None:
    """Upload a run to the Hugging Face hub with a model card, or write the same files to a folder.

    The files hold the weights, the fitted prior, the recipe, the measurements and the training curves. They also hold
    up to 64 held-out examples of your data; --no-examples leaves these out.

    Args:
        run: Folder of the run; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        repository: USER/NAME on the hub; it is created if it does not exist. Log in first with: hf auth login.
        out: Write the files to this new folder instead of uploading them.
        examples: Share the held-out examples.
        license: Licence of the files, by its name on the hub: apache-2.0, cc-by-4.0. By default none.
        private: Create a private repository. --public: create a public one. By default, the hub decides.
        as_json: Print JSON, one line, instead of text.
    """
    if (repository is None) == (out is None):
        raise ValueError("give either a repository, USER/NAME, or a folder, --out FOLDER")
    checks.check_run(run)
    if out is not None:
        check_free(out)
    from vlae.runs.opening import load

    trained = load(run)
    if out is not None:
        trained.save_pretrained(out, examples=examples, license=license)
        place = str(out)
    else:
        place = trained.push_to_hub(str(repository), examples=examples, license=license, private=private)
    num = len(trained.examples) if examples else 0
    if as_json:
        print_json({"path" if out is not None else "url": place, "examples": num})
        return
    print(f"shared weights, prior, recipe, numbers, curves and {num} held-out examples", file=sys.stderr)
    print(place)


def export(
    run: Path,
    /,
    *,
    out: Path | None = None,
    quantize: Literal["int8"] | None = None,
    opset: int | None = None,
    as_json: AsJson = False,
) -> None:
    """Write a run's encoder, decoder and sampler as ONNX files, and check each against the model.

    Args:
        run: Folder of the run; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        out: Folder for encoder.onnx, decoder.onnx and sampler.onnx; by default onnx/ in the run's folder, or below
            runs/ for a run that has no folder here. Files of an earlier export are replaced.
        quantize: int8: also write encoder-int8.onnx, and print its error and its speed. By default, no quantization.
        opset: Version of the ONNX operators; by default 18.
        as_json: Print JSON, one line, instead of text.
    """
    checks.check_run(run)
    from vlae.codes import onnx as onnx
    from vlae.runs.opening import load

    result = onnx.export(load(run), out, quantize=quantize, opset=opset)
    if as_json:
        print_json(result)
        return
    print(onnx.as_text(result), file=sys.stderr)
    for file in result["files"]:
        print(file)


def explore(
    run: Path,
    source: str | None = None,
    /,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    share: str | None = None,
    password: Annotated[str | None, Parameter(env_var="VLAE_PASSWORD")] = None,
    open_browser: Annotated[bool, Parameter(name="--open", negative=())] = False,
) -> None:
    """Serve a web page that shows a collection by level: its pictures, maps and neighbours, and what the levels do.

    By default, only this machine can open the page.

    Args:
        run: Folder of the run; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        source: Other data to show: a folder of pictures, a file or a data set. By default those that the run was
            trained on.
        host: Address to listen on. 0.0.0.0 lets other machines open the page, and needs a password.
        port: Port to listen on; by default the first free port from 7860 on.
        share: Name under which others open the page through a tunnel or a proxy of yours, like photos.example.org.
            This needs a password.
        password: Password of the page. The variable VLAE_PASSWORD hides it from other users of this machine. By
            default none.
        open_browser: Open the page in this machine's browser.
    """
    checks.check_source(source)
    checks.check_run(run)
    from vlae.runs.opening import load
    from vlae.web import app

    app.explore(load(run), source, host=host, port=port, share=share, password=password, open_browser=open_browser)
    sys.stdout.flush()
    os._exit(0)  # at once: threads that still compute hold up the end of Python, or break it


def select(selection: Path, source: Path, /, *, out: Path, tag: str | None = None) -> None:
    """Make a folder of links to the pictures of a selection that the page has exported.

    Args:
        selection: The .csv or .json file that the page has exported.
        source: The folder of pictures that the page has shown.
        out: The folder to make, new or empty.
        tag: Only the pictures with this tag. By default all.
    """
    from vlae.data.selection import link_selection, read_selection

    for name in link_selection(read_selection(selection, tag), source, out):
        print(f"no such picture, left out: {name}", file=sys.stderr)
    print(out)
