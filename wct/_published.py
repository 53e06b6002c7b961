"""The regularisations of published implementations, to reproduce their results."""

from dataclasses import dataclass

from jaxtyping import Array, Float

from ._moments import Moments
from ._spectral import kept_inverse_root, kept_root, product
from ._transform import AffineMap, centred, identity


@dataclass(frozen=True)
class Published:
    """Whitening and coloring as an implementation has it, with constants in units of its features.

    The constants mean what they did there only for features of the same scale.

    Attributes:
        content_ridge: Added to the eigenvalues of the content's covariance.
        style_ridge: Added to those of the style's.
        cut: Eigenvalues that are not larger, the ridge included, are left out.
    """

    content_ridge: float
    style_ridge: float
    cut: float

    def __call__(self, content: Moments, style: Moments) -> AffineMap:
        """Return the map f ↦ E_s D_s^(1/2) E_sᵀ E_c D_c^(−1/2) E_cᵀ (f − m_c) + m_s."""
        white = self._apply(kept_inverse_root, content, self.content_ridge)
        colored = self._apply(kept_root, style, self.style_ridge)
        return centred(product(colored, white), content, style)

    def _apply(
        self, function, moments: Moments, ridge: float
    ) -> Float[Array, "*sets channels channels"]:
        shifted = moments.covariance + ridge * identity(moments.covariance)
        return function(shifted, moments.residue, 0.0, self.cut)


PUBLISHED = {
    "li2017": Published(0.0, 0.0, 1e-5),
    "pytorch-wct": Published(1.0, 0.0, 1e-5),
    "wct-tf": Published(1e-8, 1e-8, 1e-5),
    "collaborative-distillation": Published(1.0, 0.0, 0.0),
    "wct2": Published(1.0, 1.0, 1e-5),
}
"""By name: the authors' own in Lua Torch, sunshineatnoon/PytorchWCT (and FastPhotoStyle),
eridgd/WCT-TF, the 16 times smaller networks, and WCT2."""
