"""The Gaussian world for the tests beside this file: its formulas, its networks, and their fixtures."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
