"""A page on which a person looks at scored clips and sets thresholds."""

from fada.data.inspection.page import write_page

__all__ = ["write_page"]
