"""Write the configuration of a trial on this machine, if there is none: everything under its folder."""

from __future__ import annotations

import sys
from pathlib import Path

from appliance.config.sample import sample

OVERRIDES = {
    "sallyport.data_dir": "data",
    "proxy_service.public_addr": "localhost:3080",
    "auth_service.public_addr": "localhost:3025",
    "auth_service.authentication.webauthn.rp_id": "localhost",
}


def main(path: Path) -> None:
    """Write the file once; what a person changed in it stays."""
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(sample(dict(OVERRIDES)))
    print(f"wrote {path}: every setting, with its meaning")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
