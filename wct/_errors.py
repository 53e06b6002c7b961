"""The errors that `wct` raises for what its user can mend."""


class WctError(Exception):
    """Base of all errors of this library: what was wrong, with what, and what to do about it."""


class ImageError(WctError):
    """A picture that cannot be read, used or written."""


class WeightsError(WctError):
    """A model directory that is missing, incomplete or damaged."""
