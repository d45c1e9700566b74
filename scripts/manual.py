"""Make the manual pages from the same source as `--help`: `python -m scripts.manual build/man`."""

from __future__ import annotations

import sys
from pathlib import Path

from click_man.core import write_man_pages

from appliance import __version__
from scripts.reference import PROGRAMS, program


def main(folder: Path) -> int:
    """Write all pages; `man -l build/man/sallyctl-users-add.1` reads one."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PROGRAMS:
        write_man_pages(name, program(name), version=__version__, target_dir=str(folder))
    print(f"{len(list(folder.glob('*.1')))} manual pages in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
