"""Lets the tests of this folder, and the worker processes they start, import fuzz_media.py."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
