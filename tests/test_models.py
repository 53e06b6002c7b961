"""`wct models`: against small files of VGG-19's form, some served on this machine."""

import contextlib
import functools
import gc
import hashlib
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import h5py
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
import safetensors.numpy
from click.testing import CliRunner
from conftest import WIDTHS, picture

import wct
from wct import _convert, _models, _vgg
from wct._cli import main
from wct._errors import WeightsError
from wct._models import ENCODER, Source
from wct._weights import Model, load_model, named_tensors, save_model

# As the two trainings' own code has them.
OXFORD_MEAN_BGR = np.array([103.939, 116.779, 123.68])
TORCH_MEAN, TORCH_STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
TORCH_INDICES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28)


@pytest.fixture(scope="session")
def oxford(tensors):
    """Tensors for BGR in [0, 255] minus the mean."""
    kernel = tensors["encoder"]["conv1_1.kernel"] / np.float32(255)
    return tensors["encoder"] | {"conv1_1.kernel": kernel}


def write_keras(path, tensors, form="{layer}/{layer}_{letter}_1:0"):
    """Write tensors as Keras does, with a layer and a group that are of no use here."""
    with h5py.File(path, "w") as file:
        for name, value in tensors.items():
            layer, part = name.split(".")
            layer = f"block{layer[4]}_conv{layer[6]}"
            letter = {"kernel": "W", "bias": "b"}[part]
            file[form.format(layer=layer, letter=letter, part=part)] = value
        file["block5_conv2/block5_conv2_W_1:0"] = np.zeros((3, 3, 8, 8), np.float32)
        file.create_group("block5_pool")
    return path


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def keras(tmp_path, oxford):
    return write_keras(tmp_path / "vgg.h5", oxford)


@pytest.fixture
def safe(tmp_path, oxford):
    safetensors.numpy.save_file(oxford, tmp_path / "vgg.safetensors")
    return tmp_path / "vgg.safetensors"


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a directory; half of each file if its name is asked for with `?half`."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        if not self.path.endswith("?half"):
            return super().do_GET()
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])


@pytest.fixture
def served(keras, monkeypatch):
    """Where `keras` is served, and published."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    handler = functools.partial(Handler, directory=keras.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/{keras.name}"
        publish(monkeypatch, url, md5(keras))
        yield url
        server.shutdown()
        thread.join()
    with warnings.catch_warnings():  # the socket of a broken download is left to the collector
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def publish(monkeypatch, url, digest):
    monkeypatch.setitem(_models.DOWNLOADS, "vgg19", Source(url, digest))


@pytest.fixture(autouse=True)
def nothing_shipped(tmp_path, monkeypatch):
    """No models come along, as their widths would be others."""
    monkeypatch.setattr(_models, "_pretrained", lambda: tmp_path / "nothing")


@pytest.fixture
def shipped(tmp_path, tiny_model, monkeypatch):
    """The models that come along: a whole one, and the decoders of `vgg19`."""
    directory = tmp_path / "pretrained"
    save_model(directory / "tiny", tiny_model)
    save_model(directory / "vgg19", Model("vgg19", tiny_model.encoder, tiny_model.decoders))
    (directory / "vgg19" / ENCODER).unlink()
    card = json.loads((directory / "vgg19" / "model.json").read_text())
    del card["files"][ENCODER]
    (directory / "vgg19" / "model.json").write_text(json.dumps(card))
    monkeypatch.setattr(_models, "_pretrained", lambda: directory)
    return directory


def models(*arguments, status=0):
    """Run `wct models …`; what went wrong must be one line."""
    result = CliRunner().invoke(main, ["models", *map(str, arguments)])
    assert result.exit_code == status, result.output
    assert not isinstance(result.exception, Exception), result.exception
    if status:
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1
        assert result.stdout == ""
    return result


def process(prelude, *arguments, **options):
    """Run `wct models …` in a process of its own, after some lines of Python."""
    published = f"_models.DOWNLOADS['vgg19'] = _models.{_models.DOWNLOADS['vgg19']!r}"
    shipped = f"_models._pretrained = lambda: _models.Path({str(_models._pretrained())!r})"
    lines = ["import sys", "from wct import _cli, _models", published, shipped, prelude]
    script = "\n".join([*lines, "_cli.main()"])
    command = [sys.executable, "-c", script, "models", *map(str, arguments)]
    return subprocess.run(command, **{"capture_output": True, "text": True} | options)


def assert_untouched(home):
    assert not home.exists() or not list(home.iterdir())


def assert_encodes(encoder, tensors, normalise, precision=2e-5):
    """Check features against the oracle's, of a picture normalised by the original formula."""
    image = picture(32, 48, 3)
    found = encoder(jnp.asarray(image[None]))
    wanted = oracle.encode(tensors, normalise(image.astype(np.float64)))
    for level, features in enumerate(found, start=1):
        scale = np.abs(wanted[level]).max()
        np.testing.assert_allclose(features[0], wanted[level], rtol=0, atol=precision * scale)


def as_oxford(image):
    return 255 * image[..., ::-1] - OXFORD_MEAN_BGR


# Where the models are.


def test_home_is_wct_home_or_the_users_cache(monkeypatch, tmp_path):
    assert _models.home() == tmp_path / "home"
    monkeypatch.setenv("WCT_HOME", "~/models")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _models.home() == tmp_path / "models"
    monkeypatch.setenv("WCT_HOME", "~nobody-of-that-name/models")
    assert _models.home() == Path.cwd() / "~nobody-of-that-name/models"
    monkeypatch.setenv("WCT_HOME", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert _models.home().name == "wct"
    if sys.platform == "linux":
        assert _models.home() == tmp_path / "cache" / "wct"


@pytest.mark.skipif(os.name != "posix", reason="elsewhere all users have a home")
def test_a_user_without_a_home(shipped, safe, monkeypatch, tmp_path):
    """As in a container that knows nothing of a user but the number."""

    def fail(number):
        raise KeyError(number)

    monkeypatch.setattr("pwd.getpwuid", fail)
    for name in ("WCT_HOME", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    assert list(wct.list_models()) == ["tiny", "vgg19"]
    load_model("tiny")
    assert "cannot write to" in models("import", safe, status=1).stderr
    assert not (tmp_path / "~").exists()


def test_names_are_of_both_places(shipped, home, safe):
    assert list(wct.list_models()) == ["tiny", "vgg19"]
    models("import", safe, "--name", "mine")
    models("import", safe)
    assert wct.list_models() == {
        "mine": home / "mine",
        "tiny": shipped / "tiny",
        "vgg19": shipped / "vgg19",  # it has the decoders
    }
    assert models("path", "mine").stdout == f"{home / 'mine'}\n"
    assert "did you mean 'mine'?" in models("path", "mien", status=1).stderr


def test_what_an_interrupted_run_left_is_no_model(home, safe):
    models("import", safe)
    shutil.copytree(home / "vgg19", home / ".0a1b2c")
    assert ".0a1b2c" not in wct.list_models()


# Pulling.


def test_pull(served, home, oxford):
    assert models("pull", "vgg19").stdout == f"{home / 'vgg19'}\n"
    assert sorted(path.name for path in home.rglob("*")) == [ENCODER, "model.json", "vgg19"]
    card = json.loads((home / "vgg19" / "model.json").read_text())
    content = (home / "vgg19" / ENCODER).read_bytes()
    assert card == {
        "name": "vgg19",
        "widths": list(WIDTHS),
        "files": {ENCODER: hashlib.sha256(content).hexdigest()},
    }
    assert {str(value.dtype) for value in safetensors.numpy.load(content).values()} == {"float32"}
    assert_encodes(load_model("vgg19").encoder, oxford, as_oxford)


def test_pulling_again_does_nothing(served, home, monkeypatch):
    models("pull", "vgg19")
    publish(monkeypatch, "http://127.0.0.1:9/", "")
    file = home / "vgg19" / ENCODER
    before = file.stat().st_ino, file.stat().st_mtime_ns
    result = models("pull", "vgg19")
    assert "already" in result.stderr
    assert result.stdout == f"{home / 'vgg19'}\n"
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == before


def test_pull_of_what_is_damaged_says_so(served, home):
    models("pull", "vgg19")
    (home / "vgg19" / ENCODER).write_bytes(b"precious")
    message = models("pull", "vgg19", status=1).stderr
    assert f"delete {home / 'vgg19'} first" in message
    assert (home / "vgg19" / ENCODER).read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda url, digest: (url + "?half", digest), "cannot download"),
        (lambda url, digest: (url + ".not", digest), "404"),
        (lambda url, digest: ("http://127.0.0.1:9/vgg.h5", digest), "refused"),
        (lambda url, digest: (url, "0" * 32), "md5 differs"),
    ],
    ids=["broken off", "404", "refused", "another file"],
)
def test_a_download_that_fails(served, home, keras, monkeypatch, change, message):
    url, digest = change(served, md5(keras))
    publish(monkeypatch, url, digest)
    told = models("pull", "vgg19", status=1).stderr
    assert message in told
    assert url in told
    assert_untouched(home)


def test_only_vgg19_can_be_pulled(home):
    assert "only vgg19" in models("pull", "vgg16", status=1).stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits")
@pytest.mark.parametrize("size", [1, 20], ids=["download", "conversion"])
def test_a_full_disk(served, home, size):
    limit = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({size} * 1024,) * 2)"
    done = process(limit, "pull", "vgg19")
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: cannot write to {home}: ")
    assert done.stderr.endswith("; WCT_HOME can name another folder\n")
    assert done.stderr.count("\n") == 1
    assert_untouched(home)


def test_no_space_left(safe, home, monkeypatch):
    def fail(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    assert "No space left on device" in models("import", safe, status=1).stderr
    assert_untouched(home)


def test_a_home_that_cannot_be_made(safe, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("precious")
    monkeypatch.setenv("WCT_HOME", str(tmp_path / "file" / "home"))
    assert "cannot write to" in models("import", safe, status=1).stderr


@pytest.mark.parametrize("moment", ["write_bytes", "write_text", "rename"])
def test_interruption_leaves_nothing(safe, home, monkeypatch, moment):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, moment, interrupt)
        with pytest.raises(KeyboardInterrupt):
            _vgg.import_file(safe)
    assert_untouched(home)
    models("import", safe)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("moment", ["write_bytes", "write_text", "rename"])
def test_a_killed_run_leaves_no_model(safe, home, moment):
    kill = (
        "import os, pathlib\n"
        f"pathlib.Path.{moment} = lambda *_: os.kill(os.getpid(), {int(signal.SIGKILL)})"
    )
    assert process(kill, "import", safe).returncode == -signal.SIGKILL
    assert not (home / "vgg19").exists()
    assert "vgg19" not in _models._models_in(home)
    models("import", safe)
    assert "vgg19: ok" in models("verify").stdout


def test_progress_goes_to_a_terminal_on_standard_error(served, home):
    leader, follower = os.openpty()
    shown = b""

    def read():
        nonlocal shown
        with contextlib.suppress(OSError):  # how a terminal that nobody writes to ends
            while part := os.read(leader, 4096):
                shown += part

    thread = threading.Thread(target=read)
    thread.start()
    options = {"stdout": subprocess.PIPE, "stderr": follower, "capture_output": False}
    done = process("", "pull", "vgg19", env=os.environ | {"TERM": "xterm"}, **options)
    os.close(follower)
    thread.join()
    os.close(leader)
    assert done.stdout == f"{home / 'vgg19'}\n"
    assert re.search(rb"Downloading.*m([\d.]+)/\1 kB", shown)


# Importing.


def test_keras_layouts(tmp_path, oxford):
    wanted = None
    for number, form in enumerate(
        [
            "{layer}/{layer}_{letter}_1:0",
            "{layer}/{layer}/{part}:0",
            "model_weights/{layer}/{layer}/{part}",
        ]
    ):
        path = write_keras(tmp_path / f"{number}.h5", oxford, form)
        name, tensors = _convert.read_encoder(path)
        assert name == "vgg19"
        wanted = wanted or tensors
        assert list(tensors) == list(wanted)
        for key, value in tensors.items():
            assert value.dtype == np.float32
            np.testing.assert_array_equal(value, wanted[key])


def test_all_forms_give_the_same_model(keras, safe, oxford, home, tmp_path):
    np.savez(tmp_path / "vgg.npz", **oxford)
    models("import", keras)
    assert_encodes(load_model("vgg19").encoder, oxford, as_oxford)
    for path in (keras, safe, tmp_path / "vgg.npz"):
        assert "already" in models("import", path).stderr
        models("import", path, "--name", f"of-{path.suffix[1:]}")
    files = {path.read_bytes() for path in home.glob(f"*/{ENCODER}")}
    assert len(files) == 1


def test_layers_beyond_the_encoder_are_left_out(keras):
    assert [*_convert.read_encoder(keras)[1]] == [
        f"{layer}.{part}" for layer in oracle.LAYERS for part in ("kernel", "bias")
    ]


def test_a_suffix_may_be_in_capitals(safe, tmp_path):
    path = tmp_path / "VGG.SAFETENSORS"
    path.write_bytes(safe.read_bytes())
    (name, found), (wanted_name, wanted) = map(_convert.read_encoder, (path, safe))
    assert name == wanted_name
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[key], wanted[key]) for key in wanted)


def test_what_is_not_the_published_file_is_noted(keras, monkeypatch, home):
    publish(monkeypatch, "", md5(keras))
    assert "not the published" not in models("import", keras).stderr
    shutil.rmtree(home)
    publish(monkeypatch, "", "0" * 32)
    assert "not the published file" in models("import", keras).stderr
    assert "not the published" not in models("import", keras, "--name", "mine").stderr


def test_torchvision(tmp_path, tensors, home, monkeypatch):
    torch = pytest.importorskip("torch")
    own, state = tensors["encoder"], {}
    for layer, index in zip(oracle.LAYERS, TORCH_INDICES, strict=True):
        kernel = np.ascontiguousarray(own[f"{layer}.kernel"].transpose(3, 2, 0, 1))
        state[f"features.{index}.weight"] = torch.from_numpy(kernel)
        state[f"features.{index}.bias"] = torch.from_numpy(own[f"{layer}.bias"].copy())
    state["classifier.0.weight"] = torch.zeros(4, 4)
    path = tmp_path / "vgg19.pth"
    torch.save(state, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(_convert, "_TORCHVISION_SHA256", sha256[:8])
    result = models("import", path)
    assert result.stdout == f"{home / 'vgg19-torchvision'}\n"
    assert "python -m training decoders" in result.stderr
    model = load_model("vgg19-torchvision")
    assert model.decoders == {}
    assert_encodes(model.encoder, own, lambda image: (image - TORCH_MEAN) / TORCH_STD)


def test_the_fold_of_torchvisions_normalisation(tensors):
    own = tensors["encoder"]
    folded = _convert.fold_input(own, _convert.TORCHVISION)
    image = picture(16, 16, 1).astype(np.float64)
    found = oracle.encode(folded, image)[2]
    wanted = oracle.encode(own, (image - TORCH_MEAN) / TORCH_STD)[2]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * wanted.max())


def test_a_pth_of_unknown_origin_is_refused(tmp_path, home):
    (tmp_path / "vgg.pth").write_bytes(b"PK\3\4")
    assert "is not torchvision's" in models("import", tmp_path / "vgg.pth", status=1).stderr
    assert_untouched(home)


@pytest.mark.parametrize("package", ["h5py", "torch"])
def test_a_missing_package_is_named(package, keras, served, home, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    if package == "torch":
        (tmp_path / "vgg.pth").write_bytes(b"")
        monkeypatch.setattr(_convert, "_TORCHVISION_SHA256", hashlib.sha256().hexdigest()[:8])
        told = [models("import", tmp_path / "vgg.pth", status=1)]
    else:
        told = [models("import", keras, status=1), models("pull", "vgg19", status=1)]
    assert all(f"pip install {package}" in result.stderr for result in told)
    assert_untouched(home)


def without(name):
    return lambda tensors: {key: value for key, value in tensors.items() if key != name}


def transposed(tensors):
    name = "conv2_1.kernel"
    return tensors | {name: np.ascontiguousarray(tensors[name].transpose(3, 2, 0, 1))}


MISTAKES = {
    "missing layer": (without("conv3_3.kernel"), "conv3_3.kernel is missing"),
    "missing bias": (without("conv5_1.bias"), "conv5_1.bias is missing"),
    "OIHW": (transposed, "conv2_1.kernel must be floats of shape (3, 3, 4, 6)"),
    "integers": (lambda t: t | {"conv1_2.bias": np.zeros(4, np.int32)}, "is int32"),
    "not finite": (lambda t: t | {"conv1_2.bias": np.full(4, np.nan, np.float32)}, "not finite"),
    "infinite": (lambda t: t | {"conv1_2.bias": np.full(4, np.inf, np.float32)}, "not finite"),
    "another shape": (lambda t: t | {"conv4_1.bias": np.zeros((), np.float32)}, "conv4_1"),
}


@pytest.mark.parametrize("suffix", [".h5", ".npz", ".safetensors"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_file_of_other_tensors(oxford, home, tmp_path, mistake, suffix):
    change, message = MISTAKES[mistake]
    path, wrong = tmp_path / f"wrong{suffix}", change(oxford)
    if suffix == ".h5":
        write_keras(path, wrong)
        if mistake == "another shape":
            message = "conv4_1.bias is missing"
    elif suffix == ".npz":
        np.savez(path, **wrong)
    else:
        safetensors.numpy.save_file(wrong, path)
    told = models("import", path, status=1).stderr
    assert message in told
    assert str(path) in told
    assert_untouched(home)


@pytest.mark.parametrize("suffix", [".h5", ".npz", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights", "half"], ids=["empty", "text", "half"])
def test_a_damaged_file(oxford, home, tmp_path, suffix, content):
    path = tmp_path / f"damaged{suffix}"
    if content == "half":
        write = {".h5": write_keras, ".npz": lambda path, tensors: np.savez(path, **tensors)}
        write.get(suffix, lambda path, t: safetensors.numpy.save_file(t, path))(path, oxford)
        content = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(content)
    assert str(path) in models("import", path, status=1).stderr
    assert_untouched(home)


def test_two_tensors_for_one_layer(keras, home):
    with h5py.File(keras, "a") as file:
        file["slots/block1_conv1/kernel:0"] = np.zeros((3, 3, 3, 4), np.float32)
    assert "two tensors for conv1_1.kernel" in models("import", keras, status=1).stderr


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing.h5", "No such file"),
        ("weights.t7", "no known format: .h5, .pth, .npz, .safetensors"),
        ("tiny", "no known format"),
        ("folder.h5", "directory"),
        (f"tiny/{ENCODER}", "belongs to a model directory already"),
    ],
)
def test_a_path_of_no_use(path, message, tiny_directory, home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.h5").mkdir()
    assert message in models("import", path, status=1).stderr
    assert_untouched(home)


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "-x", "a b"])
def test_a_name_of_no_use(name, safe, home):
    assert "will not do as a name" in models("import", safe, f"--name={name}", status=1).stderr
    assert_untouched(home)


def test_nothing_is_overwritten(safe, keras, oxford, home, shipped, tmp_path):
    models("import", safe)
    before = (home / "vgg19" / ENCODER).read_bytes()
    other = tmp_path / "other.npz"
    np.savez(other, **oxford | {"conv1_1.bias": oxford["conv1_1.bias"] + 1})
    told = models("import", other, status=1).stderr
    assert f"{home / 'vgg19'} exists already" in told
    assert (home / "vgg19" / ENCODER).read_bytes() == before
    assert "comes along" in models("import", other, "--name", "tiny", status=1).stderr
    assert [path.name for path in home.iterdir()] == ["vgg19"]


def test_a_directory_that_is_no_model_stays(safe, home):
    (home / "vgg19").mkdir(parents=True)
    (home / "vgg19" / "notes.txt").write_text("precious")
    for arguments in (("import", safe), ("pull", "vgg19")):
        assert f"delete {home / 'vgg19'} first" in models(*arguments, status=1).stderr
    assert [path.name for path in home.rglob("*")] == ["vgg19", "notes.txt"]


# The encoder of the home and the decoders that come along.


def test_the_two_are_joined(shipped, home, keras, tiny_model, oxford):
    models("import", keras)
    model = load_model("vgg19")
    assert sorted(model.decoders) == [1, 2, 3, 4, 5]
    assert_encodes(model.encoder, oxford, as_oxford)
    wanted = load_model("tiny").decoders[3]
    for (_, found), (_, value) in zip(
        named_tensors(model.decoders[3]), named_tensors(wanted), strict=True
    ):
        np.testing.assert_array_equal(found, value)
    photo, art = picture(32, 32, 1), picture(32, 32, 2)
    assert np.isfinite(wct.stylize(photo, art, model="vgg19")).all()
    assert wct.Stylizer.from_pretrained("vgg19").name == "vgg19"
    assert "no decoders" not in models("import", keras).stderr


def test_a_missing_encoder_is_one_clear_error(shipped, home):
    with pytest.raises(WeightsError) as caught:
        wct.stylize(picture(32, 32, 1), picture(32, 32, 2), model="vgg19")
    assert "has no encoder here" in str(caught.value)
    assert "`wct models pull vgg19`, or `wct models import FILE`" in str(caught.value)


def test_widths_must_fit(shipped, home, oxford, tmp_path):
    wide = {**oxford, "conv5_1.kernel": np.zeros((3, 3, 8, 9), np.float32)}
    np.savez(tmp_path / "wide.npz", **wide | {"conv5_1.bias": np.zeros(9, np.float32)})
    told = models("import", tmp_path / "wide.npz", status=1).stderr
    assert "are for widths [4, 6, 8, 8, 8], not [4, 6, 8, 8, 9]" in told
    models("import", tmp_path / "wide.npz", "--name", "wide")
    card = json.loads((home / "wide" / "model.json").read_text())
    (home / "wide").rename(home / "vgg19")
    (home / "vgg19" / "model.json").write_text(json.dumps(card | {"name": "vgg19"}))
    with pytest.raises(WeightsError, match=r"has widths 4 6 8 8 9, .* need 4 6 8 8 8") as caught:
        load_model("vgg19")
    assert str(home / "vgg19") in str(caught.value)


# Listing and verifying.


def test_list(shipped, home, safe):
    entries = {entry["name"]: entry for entry in json.loads(models("list", "--json").stdout)}
    assert entries["tiny"] == {
        "name": "tiny",
        "widths": list(WIDTHS),
        "levels": [5, 4, 3, 2, 1],
        "bytes": sum(path.stat().st_size for path in (shipped / "tiny").glob("*.safetensors")),
        "directory": str(shipped / "tiny"),
        "problem": None,
    }
    assert "wct models pull vgg19" in entries["vgg19"]["problem"]
    assert "wct models pull vgg19" in models("list").stdout
    models("import", safe)
    models("import", safe, "--name", "mine")
    text = models("list").stdout
    assert "wct models pull vgg19" not in text
    assert f"widths 4 6 8 8 8, levels none, 0.0 MB, {home / 'mine'}" in text
    (home / "mine" / "model.json").write_text("{")
    assert "damaged" in models("list").stdout


def test_list_of_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(_models, "_pretrained", lambda: tmp_path / "nowhere")
    assert models("list").stdout == ""
    assert models("list", "--json").stdout == "[]\n"
    assert models("verify").stdout == ""


def test_a_hash_may_be_in_capitals(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    sha256 = hashlib.sha256(b"a").hexdigest().upper()
    assert _models.read_file(tmp_path / "a", sha256) == b"a"


@pytest.mark.parametrize("widths", [[4, 6, 8, 8], [4, 6, 8, 8, 0], [4, 6, 8, 8, 8.0], "46888"])
def test_a_card_of_other_widths(tmp_path, widths):
    card = {"name": "tiny", "widths": widths, "files": {}}
    (tmp_path / "model.json").write_text(json.dumps(card))
    with pytest.raises(WeightsError, match="five positive widths"):
        _models.read_card(tmp_path)


def test_verify(shipped, home, safe):
    assert models("verify").stdout == "tiny: ok\nvgg19: ok, but there is no encoder\n"
    models("import", safe)
    path = home / "vgg19" / ENCODER
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    (shipped / "tiny" / "decoder2.safetensors").unlink()
    result = CliRunner().invoke(main, ["models", "verify"])
    assert result.exit_code == 1
    first, second = result.stdout.splitlines()
    assert first.startswith(f"tiny: cannot read {shipped / 'tiny' / 'decoder2.safetensors'}")
    assert second.startswith(f"vgg19: {path} is not the file")
    result = CliRunner().invoke(main, ["models", "verify", "vgg91", "tiny"])
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 2
    shutil.rmtree(shipped / "tiny")
    assert CliRunner().invoke(main, ["models", "verify", "tiny"]).exit_code == 1


def test_none_of_it_waits_for_jax(safe, home, shipped):
    for arguments in (["list"], ["verify", "tiny"], ["path", "tiny"], ["--help"], ["import", safe]):
        check = "import atexit\natexit.register(lambda: print('jax' in sys.modules, end=''))"
        done = process(check, *arguments, check=True)
        assert done.stdout.endswith("\nFalse"), arguments


def test_a_model_that_could_be_pulled_is_said_to_be(tmp_path, monkeypatch):
    monkeypatch.setattr(_models, "_pretrained", lambda: tmp_path)
    with pytest.raises(WeightsError, match="not here yet: run `wct models pull vgg19`"):
        _models.find_model("vgg19")
