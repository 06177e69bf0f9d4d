"""The one error of ``fada.media``."""


class MediaError(ValueError):
    """A file that cannot be read or written as asked; the message says which file, what is wrong and what to do."""
