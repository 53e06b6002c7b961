"""Universal style transfer by whitening and coloring transforms, in JAX.

The public names and where they live stand in `__init__.pyi`; each is imported at first use, so
that `wct --help` does not wait for jax.
"""

import lazy_loader

from ._version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
