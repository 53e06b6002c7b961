"""A stylizer: the networks of a model, loaded once, and what they do with pictures."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from ._by_name import WITH_ROOTS, find_solver
from ._chain import Patches, measure_levels, measure_together, repaint, whiten_levels
from ._errors import WctError, WeightsError
from ._given import Batch, Regions, as_batch, as_masks, as_regions, check_fit, one_mask, one_picture
from ._image import ImageLike
from ._layers import stride
from ._masks import MaskLike
from ._moments import Moments
from ._networks import Decoder, Encoder
from ._padding import as_picture, copy_picture, to_canvas, to_common_canvas
from ._recipe import Recipe, Step, as_recipe, check_levels
from ._style import Style, check_styles
from ._weights import load_model, named_tensors


class Stylizer(nnx.Module):
    """The networks of one model, and the chain that repaints pictures with them.

    A pytree: it can be passed through `jax.jit`, `jax.vmap` and `jax.grad` like any array.

    Attributes:
        name: The model's name.
        mark: What its styles are marked with, the name by default. Styles of encoders that differ
            do not mix.
        encoder: Encodes all levels.
        decoders: A decoder for each level at hand, by `"decoder1"` … `"decoder5"`.
    """

    def __init__(
        self,
        name: str,
        encoder: Encoder,
        decoders: Sequence[Decoder],
        *,
        mark: str | None = None,
    ):
        self.name: str = name
        self.mark: str = mark or name
        self.encoder: Encoder = encoder
        by_name = {f"decoder{decoder.level}": decoder for decoder in decoders}
        self.decoders: nnx.Dict[Decoder] = nnx.Dict(by_name)

    @classmethod
    def from_pretrained(cls, model: str | os.PathLike[str] = "vgg19-lite") -> "Stylizer":
        """Load a model.

        Args:
            model: The name of a model, or the path of a model directory.

        Returns:
            A stylizer with all of the model's decoders.

        Raises:
            WeightsError: There is no such model, or it is incomplete or damaged.
        """
        loaded = load_model(model)
        digest = hashlib.sha256()
        for _, tensor in named_tensors(loaded.encoder):
            digest.update(np.asarray(tensor).tobytes())
        mark = f"{loaded.name}@{digest.hexdigest()[:12]}"
        return cls(loaded.name, loaded.encoder, list(loaded.decoders.values()), mark=mark)

    def read_style(
        self,
        image: Float[Array, "height width 3"] | ImageLike,
        mask: Float[Array, "height width"] | MaskLike | None = None,
    ) -> Style:
        """Measure a style picture, in one pass of the encoder.

        Args:
            image: The picture, of any size. Of a jax array, values in [0, 1] are taken for
                granted, so that this can be compiled.
            mask: How much each pixel counts, from 0 to 1: the part of the picture to measure. Of
                a jax array, the picture's size and these values are taken for granted.

        Returns:
            The moments at all levels.

        Raises:
            ImageError: The picture or the mask cannot be read, or the array is none.
        """
        pictures = one_picture(image)
        _, height, width, _ = pictures.shape
        canvas = to_common_canvas(pictures)
        weights = None if mask is None else to_common_canvas(one_mask(mask, (height, width)))
        measured = measure_levels(self.encoder, canvas, (height, width), weights)
        return Style(measured, self.mark)

    def read_patches(
        self,
        image: Float[Array, "height width 3"] | ImageLike,
        levels: Sequence[int] = (5,),
    ) -> Patches:
        """Whiten the features of a style picture, for style-swap.

        Args:
            image: The picture, as for `read_style`.
            levels: The levels at which patches are to be swapped.

        Returns:
            Whitened features `(height, width, channels)`, in cells, by level.

        Raises:
            ImageError: The picture cannot be read, or the array is none.
            WctError: There is no such level.
        """
        check_levels(levels)
        pictures = one_picture(image)
        _, height, width, _ = pictures.shape
        canvas = to_canvas(pictures)
        whitened = whiten_levels(self.encoder, canvas, (height, width), tuple(levels))
        patches = {}
        for level, white in zip(levels, whitened, strict=True):
            rows, columns = (-(-side // stride(level)) for side in (height, width))
            patches[level] = white[0, :rows, :columns]
        return patches

    def measure(
        self,
        pictures: Iterable[Float[Array, "height width 3"] | ImageLike],
        style: Style,
        recipe: Recipe | str = "balanced",
    ) -> tuple[Moments, ...]:
        """Run the chain on pictures as if they were one, and measure them at each level.

        What is returned stands for them when they are repainted, or others that are alike, such as
        the frames of a video: `stylizer(frames, style, recipe, measured=...)`.

        Args:
            pictures: The pictures, as for `read_style`; some frames of a video, say.
            style: Their style.
            recipe: How they will be repainted.

        Returns:
            The moments of all of them together, at each of the recipe's levels, in their order.

        Raises:
            ImageError: A picture cannot be read, or an array is none.
            WctError: There are no pictures, or the recipe or the style do not do, as in `__call__`.
            WeightsError: The model has no decoder for a level.
        """
        recipe = as_recipe(recipe)
        work = self.plan(style, recipe)
        found = []
        for image in pictures:
            picture = one_picture(image)
            check_fit(picture, style, recipe, None, None, None)
            _, height, width, _ = picture.shape
            found.append((to_common_canvas(picture), (height, width)))
        if not found:
            raise WctError("there are no pictures to measure: give one at least")
        return tuple(measure_together(self.encoder, found, work, recipe))

    def __call__(
        self,
        content: Batch,
        style: Style,
        recipe: Recipe | str = "balanced",
        *,
        masks: Regions | None = None,
        patches: Patches | None = None,
        measured: Sequence[Moments] | None = None,
    ) -> Float[Array, "batch height width 3"]:
        """Repaint a batch of images.

        Args:
            content: RGB in [0, 1], of any size.
            style: The style of all of them; its moments may have a leading batch axis.
            recipe: How to, or the name of a preset.
            masks: Regions of the content's height and width, each with a style of its own along a
                leading axis of the style's moments. How much of the style a pixel gets, 0 … 1;
                where masks overlap they share.
            patches: What `read_patches` read of the style's picture. At these levels patches are
                swapped, whatever the recipe's transform, and there are no masks.
            measured: What `measure` returned for this style and recipe, in place of each image's
                own moments: then what becomes of a pixel is the same in all images. Without masks.

        Returns:
            Images of the same size, in [0, 1].

        Raises:
            ImageError: The images are no batch of float RGB images, or of NumPy's, values are not
                in [0, 1].
            WctError: The recipe has a value that is out of range or unknown, the style is of
                another model or not for as many pictures, or masks, patches or moments do not fit.
            WeightsError: The model has no decoder for a level.
        """
        prepared = self._prepare(content, style, recipe, masks, patches, measured)
        [canvas] = repaint(*prepared, together=True)
        _, height, width, _ = content.shape
        return as_picture(canvas, (height, width))

    def steps(
        self,
        content: Batch,
        style: Style,
        recipe: Recipe | str = "balanced",
        *,
        masks: Regions | None = None,
        patches: Patches | None = None,
    ) -> Iterator[Float[Array, "batch height width 3"]]:
        """Run the chain and yield the picture after each level, as decoded: not clipped.

        Args:
            content: As in `__call__`, like all else.
            style: The style.
            recipe: How to.
            masks: Regions.
            patches: Patches to swap.

        Yields:
            `(batch, height, width, 3)`.

        Raises:
            ImageError: As in `__call__`.
            WctError: Likewise.
            WeightsError: Likewise.
        """
        prepared = self._prepare(content, style, recipe, masks, patches)
        _, height, width, _ = content.shape
        for canvas in repaint(*prepared):
            yield copy_picture(canvas, (height, width))

    def _prepare(
        self,
        content: Batch,
        style: Style,
        recipe: Recipe | str,
        masks: Regions | None,
        patches: Patches | None,
        measured: Sequence[Moments] | None = None,
    ) -> tuple:
        """Return the arguments of `repaint`."""
        content = as_batch(content)
        masks = None if masks is None else as_masks(masks)
        recipe = as_recipe(recipe)
        work = self.plan(style, recipe, None if masks is None else len(masks))
        check_fit(content, style, recipe, masks, patches, measured)
        # Patches at the picture's edge would see what is beyond it, and frames are of one size.
        extend = to_canvas if patches or measured else to_common_canvas
        _, height, width, _ = content.shape
        size = height, width
        if masks is not None:
            masks = as_regions(extend(masks), size)
        return self.encoder, extend(content), size, work, recipe, masks, patches, measured

    def plan(
        self, style: Style, recipe: Recipe, regions: int | None = None
    ) -> list[tuple[Decoder, Moments, Step]]:
        """Return what each step of the chain takes: decoder, the style's moments, strengths.

        Args:
            style: The style, or those of the regions along a leading axis of its moments.
            recipe: The recipe.
            regions: The number of regions, if there are any.

        Returns:
            What each of the recipe's levels takes, in their order.

        Raises:
            WctError: The recipe has a value that is out of range or unknown, or the style is none,
                of another model or not one for each region.
            WeightsError: The model has no decoder for a level.
        """
        check_styles(style)
        steps = self.steps_of(recipe)
        if style.model != self.mark:
            raise WctError(
                f"the style was measured by the model {style.model!r}, but this is {self.mark!r}: "
                "read its picture with this one"
            )
        channels = tuple(moments.mean.shape[-1] for moments in style.levels)
        if channels != self.encoder.widths:
            raise WctError(
                f"the style has {channels} features at its levels, and this model "
                f"{self.encoder.widths}: read its picture with this one"
            )
        if regions is not None and style.levels[0].mean.shape[:-1] != (regions,):
            raise WctError(
                f"{regions} masks need the moments of as many styles along a leading axis"
            )
        rooted = recipe.transform in WITH_ROOTS
        solver = find_solver(recipe.transform, recipe.solver) if rooted else None
        return [
            (self.decoders[f"decoder{step.level}"], moments, step)
            for step, moments in zip(steps, style.at_hand(recipe.levels, solver), strict=True)
        ]

    def steps_of(self, recipe: Recipe) -> list[Step]:
        """Return what a recipe has this model do at each level.

        Args:
            recipe: The recipe.

        Returns:
            Level, strength and share of what is replaced, in the order of the recipe's levels.

        Raises:
            WctError: The recipe has a value that is out of range or unknown.
            WeightsError: The model has no decoder for a level.
        """
        steps = recipe.steps()
        for level in recipe.levels:
            if f"decoder{level}" not in self.decoders:
                there = ", ".join(sorted(self.decoders))
                what = f"choose other levels (it has {there})" if there else "it has none: train it"
                raise WeightsError(
                    f"the model {self.name!r} has no decoder for level {level}: {what}"
                )
        return steps
