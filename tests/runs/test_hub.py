import io
import json
import os
import pickle
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import vlae
from vlae import runs
from vlae.atomic import WriteError
from vlae.cli import main as cli
from vlae.evaluation import level_card
from vlae.evaluation.text import LIKELIHOOD_CAUTION
from vlae.recipes import build
from vlae.report import page
from vlae.runs import hub as sharing
from vlae.runs import layout, manifest
from vlae.runs.layout import RunError
from vlae.workflows import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    pictures = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    folder = tmp_path_factory.mktemp("secret")
    np.save(folder / "photos.npy", pictures)
    run = train(folder / "photos.npy", out=folder / "run", steps=4, batch_size=8, code_sizes=(1, 2), progress=False)
    vlae.evaluate(run)
    return run


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    return trained.save_pretrained(tmp_path_factory.mktemp("shared") / "run", license="cc-by-4.0")


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def same_weights(a, b):
    state = b.model.state_dict()
    assert a.model.state_dict().keys() == state.keys()
    return all(torch.equal(weights, state[name]) for name, weights in a.model.state_dict().items())


# There and back


def test_a_shared_folder_gives_the_same_run_to_the_bit(trained, folder):
    for run in (vlae.load(folder), vlae.Run.from_pretrained(folder)):
        assert run.recipe == trained.recipe and run.summary == trained.summary
        assert same_weights(run, trained)
        assert np.array_equal(run.examples, trained.examples) and run.examples.dtype == np.uint8
        assert run.history.equals(trained.history)
        for code, again in zip(run.encode(run.examples), trained.encode(run.examples), strict=True):
            assert np.array_equal(code, again)
        assert all(parameter.requires_grad for parameter in run.model.parameters()) and not run.model.training
        assert run.outputs == folder  # the user's own


def test_a_training_cut_short_is_told_of_without_its_folder(trained, tmp_path):
    planned = trained.summary["training"] | {"steps": 2, "progress": 0.5}
    path = shutil.copytree(trained.path, tmp_path / "secret")
    (path / layout.SUMMARY).write_text(json.dumps(trained.summary | {"training": planned}))
    run = vlae.load(path)
    said = "Undertrained: after 2 of 4 steps."
    assert run.evaluation["cautions"][0] == (f"{said} Go on with: vlae train --resume {path}")
    (path / layout.EVALUATION).write_text(json.dumps(run.evaluation))
    shared = run.save_pretrained(tmp_path / "shared")
    assert f"> {said}\n" in (shared / "README.md").read_text()
    assert "secret" not in (shared / layout.EVALUATION).read_text()
    assert vlae.load(shared).evaluation["cautions"][0] == said


def test_only_what_is_needed_is_shared_and_no_place_on_this_machine(trained, folder):
    assert {file.name for file in folder.iterdir()} == {*manifest.FILES, "config.json", "README.md"}
    for file in folder.iterdir():
        assert str(trained.path.parent).encode() not in file.read_bytes(), file.name
    assert json.loads((folder / "recipe.json").read_text())["data"]["source"] == "photos.npy"
    assert "machine" not in json.loads((folder / "recipe.json").read_text())
    assert vlae.load(folder).evaluation["protocol"]["data"]["source"] == "photos.npy"
    assert str(trained.path.parent) in trained.data["source"]  # which stays as it was


def test_the_model_card(trained, folder, tmp_path):
    from huggingface_hub import ModelCard

    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == "vlae" and card.data.license == "cc-by-4.0"
    assert card.data.pipeline_tag == "image-feature-extraction"
    assert "variational-ladder-autoencoder" in card.data.tags
    for words in ("A VLAE of 2 levels", "| 2 | 2 |", "photos.npy (3 × 8 × 8)", "vlae.load(", "squared error"):
        assert words in card.text
    assert LIKELIHOOD_CAUTION in card.text
    assert all(f"> {warning}" in card.text for warning in level_card.warnings(trained.evaluation))
    bare = ModelCard.load(trained.save_pretrained(tmp_path / "bare") / "README.md")
    assert bare.data.license is None and "license" not in bare.content.split("---")[1]


@pytest.mark.parametrize("name", layout.SHIPPED)
def test_the_cards_that_ship_caution_beside_the_likelihood(name):
    card = (layout.shipped_folder(name) / "README.md").read_text()
    assert "ELBO" in card and LIKELIHOOD_CAUTION in card


def test_examples_are_a_choice(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = vlae.load(trained.save_pretrained("without", examples=False))
    assert not Path("without/examples.npy").exists()
    assert run.examples.shape == (0, 3, 8, 8)
    for kind in ("levels", "samples", "traversal", "progress"):
        run.figure(kind)
    for kind in ("mix", "reconstructions"):
        with pytest.raises(RunError, match=f"without was shared without examples; a '{kind}' figure needs some"):
            run.figure(kind)
    assert page.write(run).exists()
    again = vlae.load(run.save_pretrained("again"))  # and what has none can be shared on
    assert same_weights(again, trained)
    shutil.copy(trained.path / "examples.npy", "again")  # what the manifest does not list is not taken
    assert len(vlae.load("again").examples) == 0


def test_nothing_is_overwritten(trained, copy, tmp_path):
    before = (copy / "README.md").read_text()
    with pytest.raises(WriteError, match="exists already"):
        trained.save_pretrained(copy)
    assert (copy / "README.md").read_text() == before
    with pytest.raises(WriteError, match="cannot be written"):
        trained.save_pretrained("/dev/null/run")


def test_places_are_left_out_and_names_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a/photos").mkdir(parents=True)
    for source, said in (
        ("/home/me/photos", "photos"),
        ("/home/me/photos/", "photos"),
        ("../photos", "photos"),
        ("a/photos", "photos"),
        (r"C:\me\photos", "photos"),
        ("/", "data"),
        ("gone/photos", "photos"),
        ("photos/../secret", "secret"),
        ("~me", "data"),
        ("..", "data"),
        ("file:///home/me/photos", "photos"),
        ("hf:someone/birds", "hf:someone/birds"),
        ("https://me:secret@there.org/birds.zip?signature=1", "https://there.org/birds.zip"),
        ("s3://me:secret@bucket/x/shard-0?.tar", "s3://bucket/x/shard-0?.tar"),
        ("streets:600", "streets:600"),
        ("an array", "an array"),
    ):
        assert sharing.without_folder(source) == said


# What was changed on its way


@pytest.mark.parametrize("name", ["model.safetensors", "recipe.json", "summary.json", "examples.npy", "metrics.csv"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_file_cut_short_is_refused(copy, name, share):
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(RunError, match=r"is damaged|cannot be read"):
        vlae.load(copy)


@pytest.mark.parametrize("name", ["model.safetensors", "summary.json", "examples.npy", "evaluation.json"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_flipped_bit_is_refused(copy, name, share):
    content = bytearray((copy / name).read_bytes())
    content[int(share * len(content))] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(RunError, match=r"is damaged .*SHA-256"):
        vlae.load(copy)


def rewrite(path, change):
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["sha256"].update({"../../passwd": "0"}),
        lambda manifest: manifest["sha256"].update({"/etc/passwd": "0"}),
        lambda manifest: manifest["sha256"].pop("model.safetensors"),
        lambda manifest: manifest.update(sha256=[1]),
        lambda manifest: manifest.pop("sha256"),
    ],
)
def test_a_manifest_of_other_files_is_refused(copy, change):
    rewrite(copy / "config.json", change)
    with pytest.raises(RunError, match=r"config.json must list the files of a run and nothing else"):
        vlae.load(copy)


def test_a_listed_file_that_is_missing_is_refused(copy):
    (copy / "evaluation.json").unlink()
    with pytest.raises(RunError, match=r"evaluation.json is missing"):
        vlae.load(copy)


# What a stranger wrote, with or without a manifest


@pytest.fixture
def strange(copy):
    (copy / "config.json").unlink()
    vlae.load(copy)
    return copy


class Bomb:
    def __reduce__(self):
        return (open, ("exploded", "w"))


def test_a_pickle_is_not_opened(strange, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, examples = ((strange / name).read_bytes() for name in ("model.safetensors", "examples.npy"))
    stream = io.BytesIO()
    torch.save({"weights": Bomb()}, stream)
    for content in (pickle.dumps(Bomb()), stream.getvalue()):
        (strange / "model.safetensors").write_bytes(content)
        with pytest.raises(RunError, match=r"no whole safetensors file"):
            vlae.load(strange)
    (strange / "model.safetensors").write_bytes(model)
    objects = io.BytesIO()
    np.save(objects, np.array([Bomb()], dtype=object), allow_pickle=True)
    for content in (pickle.dumps(Bomb()), objects.getvalue()):
        (strange / "examples.npy").write_bytes(content)
        with pytest.raises(RunError, match="is damaged"):
            vlae.load(strange)
    (strange / "examples.npy").write_bytes(examples)
    vlae.load(strange)
    assert not Path("exploded").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda recipe: recipe.update(shape=[3, 10**6, 10**6]),
        lambda recipe: recipe.update(shape=[10**6, 8, 8]),
        lambda recipe: recipe.update(shape=[10**12]),
        lambda recipe: recipe.update(shape=[3, -8, 8]),
        lambda recipe: recipe.update(shape=[3, "8", 8]),
        lambda recipe: recipe.update(shape=7),
        lambda recipe: recipe["levels"][0].update(code_size=10**9),
        lambda recipe: recipe["levels"][0].update(code_size="many"),
        lambda recipe: recipe["levels"][0].update(reads="grid", grid=10**9),
        lambda recipe: recipe["levels"][0].update(convolutions=[[10**9, 2]]),
        lambda recipe: recipe["levels"][0].update(convolutions=[[10**30, 2]]),
        lambda recipe: recipe["levels"][0].update(convolutions=[[32, 10**30]]),
        lambda recipe: recipe["levels"][0].update(convolutions=["ab"]),
        lambda recipe: recipe["levels"][1].update(dense=[10**7, 10**7]),
        lambda recipe: recipe["levels"][1].update(dense=[True, None]),
        lambda recipe: recipe["blocks"].update(kernel=10**6),
        lambda recipe: recipe["blocks"].update(slope="steep"),
        lambda recipe: recipe.update(mean="half"),
        lambda recipe: recipe.update(model="HierarchicalVAE"),
        lambda recipe: recipe.update(model="os.system"),
        lambda recipe: recipe.update(levels=recipe["levels"] * 400),
    ],
)
def test_a_recipe_that_asks_for_anything_is_refused_before_memory_is_given(strange, change, monkeypatch):
    rewrite(strange / "recipe.json", lambda record: change(record["recipe"]))
    monkeypatch.setattr(torch.Tensor, "normal_", None)
    with pytest.raises(RunError, match=r"is damaged|cannot be read") as error:
        vlae.load(strange)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_the_model_of_a_recipe_takes_no_memory_before_the_file_fits(trained, monkeypatch):
    from vlae.recipes import footprint

    model = footprint.model_without_memory(trained.recipe)
    assert all(tensor.is_meta for tensor in model.state_dict().values())
    assert model.state_dict().keys() == build(trained.recipe).state_dict().keys()


def test_files_of_absurd_sizes_are_refused(strange):
    (strange / "recipe.json").write_text("[" * 50_000)
    with pytest.raises(RunError, match=r"recipe.json cannot be read"):
        vlae.load(strange)
    (strange / "recipe.json").write_text(" " * 2**17)
    with pytest.raises(RunError, match=r"recipe.json has more than 65,536 bytes"):
        vlae.load(strange)


def test_examples_of_absurd_sizes_are_refused(strange):
    header = str({"descr": "|u1", "fortran_order": False, "shape": (10**12, 3, 8, 8)}).encode().ljust(117) + b"\n"
    (strange / "examples.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    with pytest.raises(RunError, match="is damaged"):
        vlae.load(strange)
    np.save(strange / "examples.npy", np.zeros((2, 3, 9, 9), np.uint8))
    with pytest.raises(RunError, match=r"examples.npy holds uint8 of shape \(2, 3, 9, 9\)"):
        vlae.load(strange)


def test_weights_that_do_not_fit_are_refused(strange):
    file = strange / "model.safetensors"
    weights = load_file(file)
    name = next(name for name, tensor in weights.items() if tensor.ndim == 4)
    for changed, words in (
        ({**weights, name: weights[name][:1].contiguous()}, "does not fit the recipe: .* it should be"),
        ({**weights, name: weights[name].half()}, "does not fit the recipe: .* not torch.float32"),
        ({**weights, "more": torch.zeros(1)}, "1 are unknown, such as more"),
        ({key: tensor for key, tensor in weights.items() if key != name}, "1 tensors are missing, such as"),
    ):
        save_file(changed, file)
        with pytest.raises(RunError, match=words):
            vlae.load(strange)


# The hub


class Hub:
    """A stand-in for the hub: repositories are folders."""

    def __init__(self, root):
        self.root, self.calls = root, []

    def create_repo(self, repo_id, **options):
        self.calls.append(("create_repo", repo_id, options))
        (self.root / repo_id).mkdir(parents=True, exist_ok=True)
        return type("Repository", (), {"repo_id": repo_id})

    def upload_folder(self, *, repo_id, folder_path, delete_patterns, **options):
        self.calls.append(("upload_folder", repo_id, options))
        for name in delete_patterns or ():
            (self.root / repo_id / name).unlink(missing_ok=True)
        shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)
        return f"https://hub.example/{repo_id}/commit/1"

    def hf_hub_download(self, repo_id, filename, **options):
        self.calls.append(("hf_hub_download", repo_id, options))
        return str(self.root / repo_id / filename)

    def snapshot_download(self, repo_id, *, allow_patterns, **options):
        self.calls.append(("snapshot_download", repo_id, options))
        if not (self.root / repo_id).is_dir():
            raise FileNotFoundError(f"no repository {repo_id}")
        assert "*" not in "".join(allow_patterns)
        return str(self.root / repo_id)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    hub = Hub(tmp_path / "hub")
    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", lambda token=None: hub)
    monkeypatch.setattr("huggingface_hub.hub_mixin.hf_hub_download", hub.hf_hub_download)
    monkeypatch.setattr(sharing, "snapshot_download", hub.snapshot_download)
    monkeypatch.chdir(tmp_path)
    return hub


def test_to_the_hub_and_back(trained, hub):
    address = trained.push_to_hub("me/ladder", license="cc-by-4.0", private=True, token="t")
    assert address == "https://hub.example/me/ladder/commit/1"
    assert hub.calls[0] == ("create_repo", "me/ladder", {"private": True, "exist_ok": True})
    card = (hub.root / "me/ladder/README.md").read_text()
    assert 'vlae.load("hf:me/ladder")' in card and "# me/ladder" in card
    run = vlae.load("hf:me/ladder", revision="v1")
    assert hub.calls[-1][2]["revision"] == "v1"
    assert same_weights(run, trained) and same_weights(vlae.Run.from_pretrained("me/ladder"), trained)
    # What is the hub's is only read.
    run.figure("levels")
    page.write(run)
    assert run.name == "me/ladder" and Path("runs/me--ladder/figures/levels.png").exists()
    assert Path("runs/me--ladder/report.html").exists()
    assert not (hub.root / "me/ladder/figures").exists() and not (hub.root / "me/ladder/report.html").exists()


def test_examples_withheld_are_gone_from_the_hub_too(trained, hub):
    trained.push_to_hub("me/ladder")
    assert (hub.root / "me/ladder/examples.npy").exists()
    trained.push_to_hub("me/ladder", examples=False)
    assert not (hub.root / "me/ladder/examples.npy").exists()
    assert len(vlae.load("hf:me/ladder").examples) == 0


def test_a_strangers_config_reaches_nothing(trained, hub):
    trained.push_to_hub("me/ladder")
    rewrite(hub.root / "me/ladder/config.json", lambda config: config.update(path="/etc", evaluation={"a": 1}))
    assert vlae.load("hf:me/ladder").path == hub.root / "me/ladder"
    (hub.root / "me/ladder/config.json").write_text("[1]")
    with pytest.raises(RunError):
        vlae.load("hf:me/ladder")


def test_what_the_hub_refuses_is_one_clear_error(trained, hub, monkeypatch):
    with pytest.raises(RunError, match=r"the hub refuses 'me/none' .*check the name and the network"):
        vlae.load("hf:me/none")
    for name in ("none", "a/b/c", "../../etc", "me/..", "-me/x"):
        with pytest.raises(RunError, match="the hub refuses"):
            vlae.load(f"hf:{name}")

    def refuse(*arguments, **options):
        raise ConnectionError("no network")

    monkeypatch.setattr(hub, "create_repo", refuse)
    with pytest.raises(RunError, match="no network"):
        trained.push_to_hub("me/ladder")
    with pytest.raises(TypeError, match="revision: only a run on the hub"):
        vlae.load(trained.path, revision="v1")


def test_the_hub_is_not_asked_for_a_folder_that_is_missing(hub):
    with pytest.raises(FileNotFoundError, match=r"no run folder runs/none.*streets.*hf:USER/NAME"):
        vlae.load("runs/none")
    assert hub.calls == []


# Those that ship


@pytest.mark.parametrize("name", layout.SHIPPED)
def test_a_shipped_ladder_is_whole_and_good(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = vlae.load(name)
    place = layout.shipped_folder(name)
    assert run.path == place and run.name == f"vlae/{name}" and run.data["source"] == name
    assert sum(file.stat().st_size for file in place.iterdir()) < 2_100_000
    assert manifest.verify(place).keys() == {*manifest.FILES} - {"held_out.npy"}  # trained before there was one
    assert all(level["kl_nats"] > 1 for level in run.evaluation["levels"])
    assert run.evaluation["level_order_interval"][0] > run.evaluation["level_order_untrained"] + 0.05
    assert not [text for text in level_card.warnings(run.evaluation) if "dead" in text]
    error = np.square(run.decode(run.encode(run.examples)) - run.examples / 255).mean()
    assert error < 0.75 * np.square(run.examples / 255 - (run.examples / 255).mean(0)).mean()
    run.figure("levels")
    assert [path.name for path in tmp_path.rglob("*.png")] == ["levels.png"]
    assert Path(f"runs/vlae--{name}/figures/levels.png").exists()


def test_a_run_of_the_users_wins_over_a_shipped_one(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mnist").mkdir()  # a folder of data, say
    assert vlae.load("mnist").name == "vlae/mnist"
    Path("mnist").rmdir()
    shutil.copytree(trained.path, "mnist")
    assert vlae.load("mnist").recipe == trained.recipe
    with pytest.raises(FileNotFoundError, match="one that ships with vlae: mnist, streets"):
        vlae.load("street")


def test_commands_take_a_shipped_ladder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for words in (["figure", "streets", "samples", "--num", "4"], ["report", "mnist"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(words)
        assert not stop.value.code
    assert capsys.readouterr().out.split() == [
        "runs/vlae--streets/figures/samples-num-4.png",
        "runs/vlae--mnist/report.html",
    ]
    assert not (layout.shipped_folder("mnist") / "figures").exists()


# The command


def test_share(trained, hub, capsys):
    for words in (
        ["share", str(trained.path), "me/ladder", "--no-examples", "--license", "cc-by-4.0", "--private"],
        ["share", str(trained.path), "--out", "given"],
    ):
        with pytest.raises(SystemExit) as stop:
            cli.main(words)
        assert not stop.value.code
    said = capsys.readouterr()
    assert said.out.split() == ["https://hub.example/me/ladder/commit/1", "given"]
    assert "and 0 held-out examples" in said.err and f"and {len(trained.examples)} held-out examples" in said.err
    assert same_weights(vlae.load("given"), runs.load(trained.path))
    with pytest.raises(SystemExit) as stop:
        cli.main(["share", str(trained.path)])
    assert stop.value.code == 2 and "give either a repository" in capsys.readouterr().err


def test_a_pipe_in_the_folder_is_named_as_what_cannot_be_shared(trained, tmp_path):
    run = shutil.copytree(trained.path, tmp_path / "run")
    (run / "metrics.csv").unlink()
    os.mkfifo(run / "metrics.csv")
    with pytest.raises(RunError, match=r"metrics\.csv cannot be shared .* remove it"):
        vlae.load(run).save_pretrained(tmp_path / "shared")
    assert not (tmp_path / "shared").exists()
