"""Makes what the engine's tests share importable from this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
