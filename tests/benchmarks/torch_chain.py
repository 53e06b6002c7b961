"""The published chain in plain PyTorch, to compare with: the same networks and arithmetic.

As the published implementations do it: one encoder a level, run over content and style alike, and
the decomposition of both covariances at every level, in float32.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from wct._layers import layer_names
from wct._weights import Model, named_tensors


def convolution(tensors: dict, name: str) -> nn.Conv2d:
    kernel = torch.tensor(tensors[f"{name}.kernel"]).permute(3, 2, 0, 1)  # from HWIO to OIHW
    outputs, inputs = kernel.shape[:2]
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect")
    layer.weight.data = kernel.contiguous()
    layer.bias.data = torch.tensor(tensors[f"{name}.bias"])
    return layer


def build_encoder(tensors: dict, level: int) -> nn.Sequential:
    layers = []
    for name in layer_names(level):
        if name.endswith("_1") and name != "conv1_1":
            layers.append(nn.MaxPool2d(2))
        layers += [convolution(tensors, name), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def build_decoder(tensors: dict, level: int) -> nn.Sequential:
    layers = []
    for name in reversed(layer_names(level)):
        layers.append(convolution(tensors, name))
        if name == "conv1_1":
            break
        layers.append(nn.ReLU(inplace=True))
        if name.endswith("_1"):
            layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
    return nn.Sequential(*layers)


def whiten_and_color(content: Tensor, style: Tensor) -> Tensor:
    """Give the content's features, `(channels, height, width)`, the style's moments."""
    ours, theirs = content.flatten(1), style.flatten(1)
    mean, wanted = ours.mean(1, keepdim=True), theirs.mean(1, keepdim=True)
    ours, theirs = ours - mean, theirs - wanted
    whitening = power(ours @ ours.T / (ours.shape[1] - 1), -0.5)
    coloring = power(theirs @ theirs.T / (theirs.shape[1] - 1), 0.5)
    return (coloring @ (whitening @ ours) + wanted).view_as(content)


def power(covariance: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > 1e-5 * values[-1]
    return vectors[:, kept] * values[kept] ** exponent @ vectors[:, kept].T


class TorchChain:
    """The chain at full strength, of one picture and one style, `(1, 3, height, width)`."""

    def __init__(self, model: Model, *, channels_last: bool):
        encoder = dict(named_tensors(model.encoder))
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.levels = [
            tuple(
                part.to(memory_format=self.format).eval()
                for part in (
                    build_encoder(encoder, level),
                    build_decoder(dict(named_tensors(model.decoders[level])), level),
                )
            )
            for level in (5, 4, 3, 2, 1)
            if level in model.decoders
        ]

    @torch.no_grad()
    def __call__(self, content: Tensor, style: Tensor) -> Tensor:
        content, style = (each.contiguous(memory_format=self.format) for each in (content, style))
        for encoder, decoder in self.levels:
            mapped = whiten_and_color(encoder(content)[0], encoder(style)[0])
            content = decoder(mapped[None].contiguous(memory_format=self.format))
        return functional.hardtanh(content, 0, 1)
