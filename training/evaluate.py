"""How good networks are: reconstruction, nearness to the teacher, style and content of results."""

from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import wct
from wct._image import read_image
from wct._networks import Encoder
from wct._pixels import resize
from wct._weights import load_model

from .data import Pictures, crop_batches, image_files
from .objectives import content_distance, fit_heads

_MULTIPLE = 32
_EXPLAINED_CROP = 192
_STYLE_SIDE = 256


def reconstruction(
    model: Path, photographs: Path, *, side: int | None = None, everything: bool = False
) -> dict[str, float]:
    """Mean PSNR, in dB, of decode(encode(photograph)), for each level.

    Args:
        model: A model directory.
        photographs: A folder of image files.
        side: Shorter side to resize them to first; their own size by default.
        everything: Look at all files, and not only at those that training left out.
    """
    networks = load_model(model)
    reconstruct = {
        level: jax.jit(
            lambda images, encoder=networks.encoder, decoder=decoder: decoder(
                encoder.encode(images, decoder.level)
            )
        )
        for level, decoder in sorted(networks.decoders.items())
    }
    psnr = {level: [] for level in reconstruct}
    for pixels in _pictures(photographs, side, everything):
        for level, function in reconstruct.items():
            result = np.clip(function(pixels[None])[0], 0, 1)
            psnr[level].append(-10 * np.log10(np.mean((result - pixels) ** 2) + 1e-12))
    return {f"relu{level}_1": float(np.mean(values)) for level, values in psnr.items()}


def explained(
    model: Path, teacher: Encoder, photographs: Path, *, everything: bool = False
) -> dict[str, float]:
    """Share of the variance of the teacher's features that linear heads explain, for each level.

    The heads are fitted on pictures that training saw; the teacher's channels are scaled to unit
    mean activation.
    """
    encoder = load_model(model).encoder
    pictures = Pictures.load([photographs], _EXPLAINED_CROP)
    seen = next(crop_batches(pictures, crop=_EXPLAINED_CROP, batch=160, seed=0))
    heads = fit_heads(encoder, teacher, np.asarray(seen))

    @jax.jit
    def unexplained(images):
        pairs = zip(heads, encoder(images), teacher(images), strict=True)
        return [head.unexplained(ours, theirs) * head.variance for head, ours, theirs in pairs]

    @jax.jit
    def first_moments(images):
        scaled = [
            features / head.scale[None, None, None]
            for head, features in zip(heads, teacher(images), strict=True)
        ]
        return [(jnp.mean(f, (0, 1, 2)), jnp.mean(f**2, (0, 1, 2))) for f in scaled]

    errors, statistics = [], []
    for pixels in _squares(photographs, _EXPLAINED_CROP, everything):
        errors.append(unexplained(pixels[None]))
        statistics.append(first_moments(pixels[None]))
    shares = {}
    for level in range(5):
        mean = np.mean([s[level][0] for s in statistics], axis=0)
        square = np.mean([s[level][1] for s in statistics], axis=0)
        variance = np.mean(square - mean**2)
        shares[f"relu{level + 1}_1"] = 1 - float(np.mean([e[level] for e in errors]) / variance)
    return shares


def style_transfer(
    model: Path,
    teacher: Encoder,
    photographs: Path,
    paintings: Path,
    *,
    pairs: int = 60,
    recipe: wct.Recipe | str,
    everything: bool = False,
) -> dict[str, float]:
    """Distances of results from their styles and contents, averaged over pairs of 256 pixels.

    Returns:
        `covariance` and `mean`: ‖Σ − Σ_style‖_F / ‖Σ_style‖_F and ‖m − m_style‖ / ‖m_style‖ in the
        teacher's features, averaged over the five levels. `content`: squared distance of the
        relu4_1 features of result and content, each channel normalised per picture, relative to
        the content's own square.
    """
    stylizer = wct.Stylizer.from_pretrained(model)

    @jax.jit
    def transfer(content, style):
        measured = stylizer.read_style(style)
        return stylizer(content[None], measured, recipe)[0]

    @jax.jit
    def measure(image):
        features = teacher(image[None])
        return [wct.moments(values[0]) for values in features], features[3]

    contents = list(_squares(photographs, _STYLE_SIDE, everything))
    styles = list(_squares(paintings, _STYLE_SIDE, everything))
    covariance, mean, content = [], [], []
    for index in range(pairs):
        picture, painting = contents[index % len(contents)], styles[index % len(styles)]
        wanted, _ = measure(painting)
        _, original = measure(picture)
        found, result = measure(transfer(picture, painting))
        couples = list(zip(found, wanted, strict=True))
        covariance += [_distance(ours.covariance, theirs.covariance) for ours, theirs in couples]
        mean += [_distance(ours.mean, theirs.mean) for ours, theirs in couples]
        content.append(content_distance(result, original))
    return {
        name: float(np.mean(values))
        for name, values in (("covariance", covariance), ("mean", mean), ("content", content))
    }


def _distance(found: jax.Array, wanted: jax.Array) -> float:
    return float(jnp.linalg.norm(found - wanted) / jnp.linalg.norm(wanted))


def _pictures(folder: Path, side: int | None, everything: bool) -> Iterator[np.ndarray]:
    """Pictures of a folder, resized to a shorter side, cut to multiples of 32 pixels."""
    for file in image_files(folder, unseen=None if everything else True):
        pixels = read_image(file).pixels
        height, width, _ = pixels.shape
        shorter = min(height, width)
        wanted = max(shorter, _MULTIPLE) if side is None else side
        if wanted != shorter:
            scale = wanted / shorter
            height, width = max(wanted, round(height * scale)), max(wanted, round(width * scale))
            pixels = resize(pixels, (height, width))
        yield pixels[: height - height % _MULTIPLE, : width - width % _MULTIPLE]


def _squares(folder: Path, side: int, everything: bool) -> Iterator[np.ndarray]:
    """The middle squares of a folder's pictures, of one side."""
    for pixels in _pictures(folder, side, everything):
        height, width, _ = pixels.shape
        top, left = (height - side) // 2, (width - side) // 2
        yield pixels[top : top + side, left : left + side]
