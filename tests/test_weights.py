import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from conftest import WIDTHS

from wct import _models
from wct._errors import WctError, WeightsError
from wct._models import find_model, list_models, read_card
from wct._stylizer import Stylizer
from wct._weights import load_model, named_tensors, save_model


def card_of(directory):
    return json.loads((directory / "model.json").read_text())


def rewrite_card(directory, **changes):
    card = card_of(directory) | changes
    card = {key: value for key, value in card.items() if value is not None}
    (directory / "model.json").write_text(json.dumps(card))


def rewrite(directory, file, content):
    """Replace a file, and what the card says of it."""
    (directory / file).write_bytes(content)
    files = card_of(directory)["files"] | {file: hashlib.sha256(content).hexdigest()}
    rewrite_card(directory, files=files)


def rewrite_tensors(directory, file, change):
    tensors = safetensors.numpy.load_file(directory / file)
    rewrite(directory, file, safetensors.numpy.save(change(tensors)))


def saved_tensors(network):
    return {name: np.asarray(value) for name, value in named_tensors(network)}


def assert_same(network, wanted):
    actual = saved_tensors(network)
    assert sorted(actual) == sorted(wanted)
    for name, value in wanted.items():
        assert actual[name].dtype == np.float32
        np.testing.assert_array_equal(actual[name], value)


def halved(tensors):
    return {name: value.astype(np.float16).astype(np.float32) for name, value in tensors.items()}


def test_loading_gives_what_was_saved_in_float16(tiny_directory, tensors):
    model = load_model(tiny_directory)
    assert model.name == "tiny"
    assert model.encoder.widths == WIDTHS
    assert_same(model.encoder, halved(tensors["encoder"]))
    assert sorted(model.decoders) == [1, 2, 3, 4, 5]
    for level, decoder in model.decoders.items():
        assert decoder.level == level
        assert not decoder.final_relu
        assert_same(decoder, halved(tensors[level]))


def test_names_on_disk(tiny_directory, tensors):
    found = safetensors.numpy.load_file(tiny_directory / "decoder2.safetensors")
    wanted = ["conv1_1", "conv1_2", "conv2_1"]
    assert sorted(found) == [f"{name}.{part}" for name in wanted for part in ("bias", "kernel")]
    assert all(value.dtype == np.float16 for value in found.values())
    np.testing.assert_array_equal(
        found["conv2_1.kernel"], tensors[2]["conv2_1.kernel"].astype(np.float16)
    )


def test_card_says_what_there_is(tiny_model, tmp_path):
    save_model(tmp_path / "new" / "model", tiny_model, about={"licence": "MIT"})
    card = read_card(tmp_path / "new" / "model")
    assert (card["name"], card["widths"], card["licence"]) == ("tiny", list(WIDTHS), "MIT")
    decoders = [f"decoder{level}.safetensors" for level in range(1, 6)]
    assert sorted(card["files"]) == [*decoders, "encoder.safetensors"]
    for file, digest in card["files"].items():
        content = (tmp_path / "new" / "model" / file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
    assert len(list((tmp_path / "new" / "model").iterdir())) == 7  # and nothing left over


def test_float32_files_load_unrounded(tiny_directory, tensors):
    for file, wanted in (("encoder", tensors["encoder"]), ("decoder3", tensors[3])):
        rewrite_tensors(tiny_directory, f"{file}.safetensors", lambda _, wanted=wanted: wanted)
    model = load_model(tiny_directory)
    assert_same(model.encoder, tensors["encoder"])
    assert_same(model.decoders[3], tensors[3])


def test_minimal_card(tiny_directory):
    files = card_of(tiny_directory)["files"]
    wanted = {name: files[name] for name in ("encoder.safetensors", "decoder5.safetensors")}
    card = {"name": "least", "widths": list(WIDTHS), "files": wanted}
    (tiny_directory / "model.json").write_text(json.dumps(card))
    model = load_model(str(tiny_directory))
    assert model.name == "least"
    assert list(model.decoders) == [5]
    assert not model.decoders[5].final_relu


def test_final_relu_survives(tiny_directory, tiny_model, tmp_path):
    rewrite_card(tiny_directory, final_relu=True)
    model = load_model(tiny_directory)
    assert all(decoder.final_relu for decoder in model.decoders.values())
    save_model(tmp_path / "again", model)
    assert all(decoder.final_relu for decoder in load_model(tmp_path / "again").decoders.values())


def test_missing_decoders_are_an_error_when_asked_for(tiny_directory):
    files = card_of(tiny_directory)["files"]
    del files["decoder5.safetensors"], files["decoder2.safetensors"]
    rewrite_card(tiny_directory, files=files)
    stylizer = Stylizer.from_pretrained(tiny_directory)
    style = stylizer.read_style(np.full((16, 16, 3), 0.5, np.float32))
    with pytest.raises(WeightsError, match=r"'tiny' has no decoder for level 5") as caught:
        stylizer(np.zeros((1, 16, 16, 3), np.float32) + style.levels[0].weight * 0, style)
    assert "decoder1, decoder3, decoder4" in str(caught.value)


def drop(name):
    return lambda tensors: {key: value for key, value in tensors.items() if key != name}


def reshape(name):
    return lambda tensors: tensors | {name: tensors[name][..., :-1].copy()}


def transpose(name):
    return lambda tensors: tensors | {name: tensors[name].transpose(3, 2, 0, 1).copy()}


def cut(path):
    path.write_bytes(path.read_bytes()[:-10])


ENCODER, DECODER = "encoder.safetensors", "decoder4.safetensors"
# What is done to the directory, the file that the message is to name, and what else it says.
DAMAGE = {
    "no directory": (shutil.rmtree, "", "no model"),
    "no card": (lambda d: (d / "model.json").unlink(), "", "no model"),
    "no json": (lambda d: (d / "model.json").write_text("{"), "model.json", "damaged"),
    "no text": (lambda d: (d / "model.json").write_bytes(b"\xff\xfe"), "model.json", "damaged"),
    "a list": (lambda d: (d / "model.json").write_text("[1]"), "model.json", "damaged"),
    "a number": (lambda d: (d / "model.json").write_text("1"), "model.json", "damaged"),
    "too deep": (lambda d: (d / "model.json").write_text(100_000 * "["), "model.json", "damaged"),
    "no name": (lambda d: rewrite_card(d, name=None), "model.json", "name"),
    "no widths": (lambda d: rewrite_card(d, widths=None), "model.json", "widths"),
    "no files": (lambda d: rewrite_card(d, files=None), "model.json", "files"),
    "name no text": (lambda d: rewrite_card(d, name=3), "model.json", "name"),
    "four widths": (lambda d: rewrite_card(d, widths=[1, 2, 3, 4]), "model.json", "five"),
    "widths no list": (lambda d: rewrite_card(d, widths=5), "model.json", "widths"),
    "width of zero": (lambda d: rewrite_card(d, widths=[1, 2, 3, 4, 0]), "model.json", "positive"),
    "broken width": (lambda d: rewrite_card(d, widths=[1, 2, 3, 4, 5.5]), "model.json", "widths"),
    "files no table": (lambda d: rewrite_card(d, files=["a"]), "model.json", "files"),
    "no file name": (lambda d: rewrite_card(d, files={"a\0": "0"}), "model.json", "files"),
    "encoder unlisted": (lambda d: rewrite_card(d, files={}), "", "has no encoder"),
    "other widths": (lambda d: rewrite_card(d, widths=[4, 6, 8, 8, 9]), ENCODER, "shape"),
    "wrong sha256": (lambda d: rewrite_card(d, files={ENCODER: "0" * 64}), ENCODER, "sha256"),
    "no encoder": (lambda d: (d / ENCODER).unlink(), ENCODER, "No such file"),
    "no decoder": (lambda d: (d / DECODER).unlink(), DECODER, "No such file"),
    "truncated encoder": (lambda d: cut(d / ENCODER), ENCODER, "sha256"),
    "truncated decoder": (lambda d: cut(d / DECODER), DECODER, "sha256"),
    "no safetensors": (lambda d: rewrite(d, DECODER, b"PK\3\4, a zip"), DECODER, "no safetensors"),
    "empty file": (lambda d: rewrite(d, DECODER, b""), DECODER, "no safetensors"),
    "no bias": (
        lambda d: rewrite_tensors(d, ENCODER, drop("conv3_2.bias")),
        ENCODER,
        "conv3_2.bias",
    ),
    "wrong shape": (
        lambda d: rewrite_tensors(d, DECODER, reshape("conv2_1.bias")),
        DECODER,
        "conv2_1.bias",
    ),
    "OIHW": (
        lambda d: rewrite_tensors(d, ENCODER, transpose("conv1_1.kernel")),
        ENCODER,
        "conv1_1.kernel",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_one_error_that_names_the_file(tiny_directory, damage):
    change, file, words = DAMAGE[damage]
    change(tiny_directory)
    with pytest.raises(WeightsError) as caught:
        load_model(tiny_directory)
    message = str(caught.value)
    assert str(tiny_directory / file) in message
    assert words in message
    assert "\n" not in message
    assert isinstance(caught.value, WctError)


def test_bfloat16_is_an_error(tiny_directory):
    path = tiny_directory / DECODER
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].rstrip().replace(b'"F16"', b'"BF16"')
    header += b" " * (-len(header) % 8)
    content = len(header).to_bytes(8, "little") + header + content[8 + length :]
    rewrite(tiny_directory, DECODER, content)
    with pytest.raises(WeightsError):
        load_model(tiny_directory)


def test_unknown_name_suggests_a_near_one(tiny_directory, monkeypatch):
    (tiny_directory.parent / "notes").mkdir()  # no model
    monkeypatch.setattr(_models, "_pretrained", lambda: tiny_directory.parent)
    assert list_models() == {"tiny": tiny_directory}
    assert find_model("tiny") == tiny_directory
    assert load_model("tiny").name == "tiny"
    with pytest.raises(WeightsError, match=r"no model 'tinny': did you mean 'tiny'\?"):
        find_model("tinny")
    with pytest.raises(WeightsError, match="no model 'resnet': there are tiny"):
        find_model("resnet")


def test_no_models_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(_models, "_pretrained", lambda: tmp_path / "nowhere")
    assert list_models() == {}
    with pytest.raises(WeightsError, match="there are none"):
        find_model("tiny")


@pytest.mark.parametrize("failing", ["write_bytes", "replace"])
def test_nothing_is_half_written(tiny_directory, tiny_model, tmp_path, monkeypatch, failing):
    before = {path.name: path.read_bytes() for path in tiny_directory.iterdir()}
    write = Path.write_bytes

    def fail(self, content):
        if failing == "write_bytes":
            write(self, content[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, failing, fail)
    for directory in (tiny_directory, tmp_path / "new"):
        with pytest.raises(WctError, match="No space"):
            save_model(directory, tiny_model, about={"changed": True})
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in tiny_directory.iterdir()} == before
    assert not list((tmp_path / "new").iterdir())


def test_saving_twice_gives_the_same_files(tiny_directory, tiny_model):
    before = {path.name: path.read_bytes() for path in tiny_directory.iterdir()}
    save_model(tiny_directory, tiny_model)
    assert {path.name: path.read_bytes() for path in tiny_directory.iterdir()} == before
