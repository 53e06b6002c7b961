"""Universal style transfer by whitening and coloring transforms, in JAX."""

# ruff: noqa: I001 (the order tells a story)

# One call
from ._stylize import stylize as stylize
from ._texture import texture as texture
from ._styles import read_style as read_style

# Networks loaded once, styles read once
from ._stylizer import Stylizer as Stylizer
from ._style import Style as Style
from ._recipe import Recipe as Recipe
from ._mixing import mix_styles as mix_styles
from ._mixing import stack_styles as stack_styles
from ._models import list_models as list_models

# Videos, whole data sets, and in a training step
from ._video import stylize_video as stylize_video
from ._dataset import stylize_dataset as stylize_dataset
from ._dataset import DatasetReport as DatasetReport
from ._augment import augment as augment

# The mathematics
from ._moments import Moments as Moments
from ._moments import moments as moments
from ._moments import merge_moments as merge_moments
from ._transform import whitening as whitening
from ._transform import coloring as coloring
from ._transform import whiten_and_color as whiten_and_color
from ._transform import optimal_transport as optimal_transport
from ._transform import match_deviations as match_deviations
from ._transform import match_means as match_means
from ._transform import AffineMap as AffineMap

# The networks
from ._networks import Encoder as Encoder
from ._networks import Decoder as Decoder

# Pictures
from ._image import ImageLike as ImageLike
from ._image import Picture as Picture
from ._image import read_image as read_image
from ._write import write_image as write_image

# Errors
from ._errors import WctError as WctError
from ._errors import ImageError as ImageError
from ._errors import WeightsError as WeightsError

from ._version import __version__ as __version__
