"""Imported first by a process that must not be able to load a token's library.

asyncssh brings support for PKCS#11 of its own and loads the binding where it is installed, as on the one
box that runs everything. A name that stands for nothing makes that import fail, which asyncssh takes as "not
installed".
"""

from __future__ import annotations

import sys

sys.modules.setdefault("pkcs11", None)  # type: ignore[arg-type] # None is what blocks an import
