"""The method once more, in float64 NumPy and written from the papers, to compare with.

Y. Li et al., "Universal Style Transfer via Feature Transforms", NeurIPS 2017; K. Simonyan,
A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015.
One picture at a time, `(height, width, channels)`; networks are dicts of tensors named as on disk.
"""

import numpy as np
import scipy.linalg

LAYERS = [
    *("conv1_1", "conv1_2"),
    *("conv2_1", "conv2_2"),
    *("conv3_1", "conv3_2", "conv3_3", "conv3_4"),
    *("conv4_1", "conv4_2", "conv4_3", "conv4_4"),
    "conv5_1",
]


def convolve(features, kernel, bias):
    """3×3 cross-correlation of features continued by reflection."""
    features, kernel = np.asarray(features, np.float64), np.asarray(kernel, np.float64)
    height, width, _ = features.shape
    padded = np.pad(features, ((1, 1), (1, 1), (0, 0)), mode="reflect")
    shifts = [(row, column) for row in range(3) for column in range(3)]
    return np.asarray(bias, np.float64) + sum(
        padded[row : row + height, column : column + width] @ kernel[row, column]
        for row, column in shifts
    )


def relu(features):
    return np.maximum(features, 0)


def pool(features):
    """2×2 max pooling."""
    height, width, channels = features.shape
    return features.reshape(height // 2, 2, width // 2, 2, channels).max(axis=(1, 3))


def upsample(features):
    """Nearest-neighbour upsampling by two."""
    return features.repeat(2, axis=0).repeat(2, axis=1)


def encode(tensors, image):
    """relu1_1 … relu5_1 of a picture whose sides are multiples of 16 (of 2 ** deepest - 1)."""
    features, levels = np.asarray(image, np.float64), {}
    for name in LAYERS:
        block, layer = name.removeprefix("conv").split("_")
        if layer == "1" and block != "1":
            if features.shape[0] % 2 or features.shape[1] % 2:
                break
            features = pool(features)
        features = relu(convolve(features, tensors[f"{name}.kernel"], tensors[f"{name}.bias"]))
        if layer == "1":
            levels[int(block)] = features
    return levels


def decode(tensors, features, level, final_relu=False):
    """The mirror image of VGG-19 from relu`level`_1 back to RGB."""
    blocks = {5: ["conv5_1"], 4: LAYERS[8:12], 3: LAYERS[4:8], 2: LAYERS[2:4], 1: LAYERS[0:2]}
    names = [f"conv{level}_1"]
    for block in range(level - 1, 0, -1):
        names += ["up", *reversed(blocks[block])]
    for name in names:
        if name == "up":
            features = upsample(features)
            continue
        features = convolve(features, tensors[f"{name}.kernel"], tensors[f"{name}.bias"])
        if name != "conv1_1" or final_relu:
            features = relu(features)
    return features


def moments(vectors, weights=None):
    """Weight, mean and covariance (divisor weight - 1) of `(…, channels)`."""
    vectors = np.asarray(vectors, np.float64).reshape(-1, vectors.shape[-1])
    weights = np.ones(len(vectors)) if weights is None else np.asarray(weights, np.float64).ravel()
    weight = weights.sum()
    mean = np.average(vectors, axis=0, weights=weights)
    scatter = (weights[:, None] * (vectors - mean)).T @ (vectors - mean)
    return weight, mean, scatter / max(weight - 1, 1)


def whitening(covariance, tolerance=1e-10):
    """E D^(−1/2) Eᵀ over the eigenvalues above `tolerance` of the largest."""
    values, vectors = np.linalg.eigh(np.asarray(covariance, np.float64))
    kept = values > tolerance * values.max()
    return vectors[:, kept] @ np.diag(values[kept] ** -0.5) @ vectors[:, kept].T


def coloring(covariance):
    """E D^(1/2) Eᵀ."""
    values, vectors = np.linalg.eigh(np.asarray(covariance, np.float64))
    return vectors @ np.diag(np.sqrt(relu(values))) @ vectors.T


def whiten_and_color(features, content, style, alpha=1.0):
    """α f_cs + (1 − α) f_c, by the `moments` of the content and of the style."""
    _, content_mean, content_covariance = content
    _, style_mean, style_covariance = style
    white = (features - content_mean) @ whitening(content_covariance)
    return alpha * (white @ coloring(style_covariance) + style_mean) + (1 - alpha) * features


def soft_whitening(covariance, cut):
    """The formula of docs/how-it-works.md."""
    values, vectors = np.linalg.eigh(np.asarray(covariance, np.float64))
    inverse = (relu(values) + cut) ** -0.5
    near = cut * inverse**2
    inverse *= (1 - near) ** 2 * (1 + 5 / 2 * near + 35 / 8 * near**2)
    return vectors @ np.diag(inverse) @ vectors.T


def optimal_transport(features, content, style, alpha=1.0):
    """α f_cs + (1 − α) f_c by Gelbrich's map between normal distributions, with SciPy's roots."""
    _, content_mean, content_covariance = content
    _, style_mean, style_covariance = style
    deviation = scipy.linalg.sqrtm(content_covariance).real
    middle = scipy.linalg.sqrtm(deviation @ style_covariance @ deviation).real
    inverse = np.linalg.inv(deviation)
    matrix = inverse @ middle @ inverse
    return alpha * ((features - content_mean) @ matrix + style_mean) + (1 - alpha) * features


def singular_transport(features, content, style, soft=False):
    """The same map by Olkin and Pukelsheim, with the pseudoinverse where covariances are singular.

    It reaches what of the style it can. With our soft edge in place of the pseudoinverse's, if
    `soft`.
    """
    _, content_mean, content_covariance = content
    _, style_mean, style_covariance = style
    deviation = coloring(style_covariance)
    seen = deviation @ content_covariance @ deviation
    noise = 1e-10 * np.mean((deviation @ content_mean) ** 2)
    white = soft_whitening(seen, 1e-10 * np.linalg.norm(seen) + noise) if soft else whitening(seen)
    return (features - content_mean) @ (deviation @ white @ deviation) + style_mean


def adain(features, content, style, alpha=1.0):
    """α f_cs + (1 − α) f_c, channel by channel."""
    (_, content_mean, content_covariance), (_, style_mean, style_covariance) = content, style
    white = (features - content_mean) / np.sqrt(np.diag(content_covariance))
    colored = white * np.sqrt(np.diag(style_covariance)) + style_mean
    return alpha * colored + (1 - alpha) * features


def extend(image):
    """A picture continued by reflection to multiples of 16, right and below."""
    height, width, _ = image.shape
    return np.pad(image, ((0, -height % 16), (0, -width % 16), (0, 0)), mode="reflect")


def shares(features, size):
    """How much of each cell is a part of a picture of this size."""
    rows, columns = features.shape[:2]
    cell = -(-size[0] // 16) * 16 // rows
    inside = np.zeros((rows * cell, columns * cell))
    inside[: size[0], : size[1]] = 1
    return inside.reshape(rows, cell, columns, cell).mean(axis=(1, 3))


def measure(features, sizes):
    """Moments of the features of pictures of these sizes, each cell by its share of its picture."""
    pairs = list(zip(features, sizes, strict=True))
    vectors = np.concatenate([each.reshape(-1, each.shape[-1]) for each, _ in pairs])
    return moments(vectors, np.concatenate([shares(*pair).ravel() for pair in pairs]))


def repeat_last(features, size, level):
    """Above level 1, cells that are wholly beyond the picture become the nearest others."""
    if level == 1:
        return features
    inside = features[tuple(slice(-(-side // 2 ** (level - 1))) for side in size)]
    beyond = [(0, whole - part) for whole, part in zip(features.shape, inside.shape, strict=True)]
    return np.pad(inside, beyond, "edge")


def chain(networks, content, style, alphas, levels, details=None, transform=whiten_and_color):
    """The published chain, plus (1 − α) of what each decoder lost of its input; not clipped.

    At α = 1 and without details it is the published chain and nothing else. Also returns the
    largest condition number of the content's covariances, for judging what float32 can do.
    """
    [image], worst = chain_of_all(networks, [content], style, alphas, levels, details, transform)
    return image, worst


def chain_of_all(
    networks, contents, style, alphas, levels, details=None, transform=whiten_and_color
):
    """The same of pictures that are measured together."""
    sizes, worst = [content.shape[:2] for content in contents], 1.0
    style_features = encode(networks["encoder"], extend(style))
    images = [np.asarray(content, np.float64) for content in contents]
    for level, alpha, detail in zip(levels, alphas, details or [0] * len(levels), strict=True):
        images = [extend(image) for image in images]
        encoded = [
            repeat_last(encode(networks["encoder"], image)[level], size, level)
            for image, size in zip(images, sizes, strict=True)
        ]
        measured = measure(encoded, sizes)
        worst = max(worst, np.linalg.cond(measured[2]))
        target = measure([style_features[level]], [style.shape[:2]])
        for index, features in enumerate(encoded):
            mixed = transform(features, measured, target, alpha)
            lost = images[index] - decode(networks[level], features, level)
            image = decode(networks[level], mixed, level) + (1 - alpha + alpha * detail) * lost
            images[index] = image[: sizes[index][0], : sizes[index][1]]
    return images, worst
