"""The story of `make demo` is a test of its own: it looks into everything it shows."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.functional


@pytest.mark.timeout(400)
def test_the_whole_story_holds_from_the_first_start_to_the_restart():
    done = subprocess.run(
        [sys.executable, "-m", "scripts.demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert "✓ joe's certificate opens the node as before" in done.stdout
