"""`wct.augment` as a step of a grain input pipeline, on whole batches."""

import grain
import jax
import numpy as np

import wct


# --8<-- [start:transform]
class RandomStyles(grain.transforms.RandomMap):
    """Repaints images of a batch, each in a random style.

    It is compiled once for a shape of batches. The key comes from the generator that grain seeds
    for each batch, so the pipeline gives the same batches again, wherever it is resumed.
    """

    def __init__(self, **options):
        self.stylizer = wct.Stylizer.from_pretrained()
        self.bank = wct.Style.from_pretrained()
        self.augment = jax.jit(lambda *given, **named: wct.augment(*given, **named, **options))

    def random_map(self, element: dict, rng: np.random.Generator) -> dict:
        """Repaint the images; all else of the batch stays as it is."""
        key = jax.random.key(rng.integers(2**31))
        images = self.augment(key, element["image"], self.bank, stylizer=self.stylizer)
        return element | {"image": np.asarray(images)}


# --8<-- [end:transform]


def main() -> None:
    """Run a pipeline twice."""
    rng = np.random.default_rng(0)
    examples = [
        {"image": rng.uniform(0, 1, (32, 32, 3)).astype(np.float32), "label": label % 10}
        for label in range(48)
    ]
    dataset = (
        grain.MapDataset.source(examples)
        .seed(0)
        .shuffle()
        .batch(16)
        .random_map(RandomStyles(probability=0.5))
        .to_iter_dataset(grain.ReadOptions(num_threads=2))
    )
    first, again = list(dataset), list(dataset)
    for batch, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(batch["image"], other["image"])
        print(batch["image"].shape, batch["image"].dtype, *batch["label"])


if __name__ == "__main__":
    main()
