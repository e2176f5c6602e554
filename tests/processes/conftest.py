"""What the tests of other folders share is found from here too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
