"""A page on which a person looks at scored clips and sets thresholds."""

from fada.data.inspection.page import write_page
from fada.data.inspection.scored import write_scored_page

__all__ = ["write_page", "write_scored_page"]
