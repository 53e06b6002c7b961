"""Draws a run's curves for docs/weights.md: `python docs/images/curves.py WITHOUT WITH`.

Both are `metrics.jsonl` of a run of vgg19-lite-content.toml, the first one without `content`.
"""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

WINDOW = 100
"""Steps that a point of a curve is the mean of."""


def main() -> None:
    """Draw them."""
    runs = [
        [json.loads(line) for line in Path(path).read_text().splitlines()] for path in sys.argv[1:]
    ]
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.8))
    shown = (("unexplained", "share unexplained"), ("psnr", "dB"), ("content", "content lost"))
    for panel, (name, title) in zip(axes, shown, strict=True):
        for run, style in zip(runs, (":", "-"), strict=True):
            for level in (5, 4):
                values = [line[f"{name}/{level}"] for line in run if f"{name}/{level}" in line]
                if values:
                    means = np.convolve(values, np.ones(WINDOW) / WINDOW, "valid")
                    steps = np.arange(len(means)) + WINDOW / 2
                    panel.plot(
                        steps[::20],
                        means[::20],
                        style,
                        color=f"C{5 - level}",
                        label=f"relu{level}_1",
                    )
        panel.set_title(title, fontsize=9)
        panel.set_xlabel("step", fontsize=8)
        panel.tick_params(labelsize=7)
        panel.spines[["top", "right"]].set_visible(False)
    axes[-1].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(Path(__file__).parent / "curves.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
