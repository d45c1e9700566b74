"""A systemd timer for stock sshd machines.

Every minute they fetch trust, host certificate and revocations.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.domain.operations.nodes import NodeBundle
    from appliance.domain.operations.people import ClusterInfo

FOLDER = "/etc/ssh/sallyport"
SCRIPT = """\
#!/bin/sh
# Keeps this machine's sshd in step with its Sallyport cluster. Fetches public files over TLS, each whole or
# not
# at all; reloads sshd only when something changed and its configuration is still good.
set -eu
folder=${{SALLYPORT_FOLDER:-{folder}}}
base=https://{web}/v1/webapi/nodes/{name}
changed=
for file in ca.pem user-ca.pub host-cert.pub krl; do
    curl --fail --silent --show-error --max-time 20 --proto =https --tlsv1.2 \\
        --cacert "$folder/ca.pem" --output "$folder/.$file.new" "$base/$file"
    if cmp -s "$folder/.$file.new" "$folder/$file"; then
        rm "$folder/.$file.new"
    else
        chmod 644 "$folder/.$file.new"
        mv "$folder/.$file.new" "$folder/$file"
        changed=yes
    fi
done
if [ -n "$changed" ] && [ -z "${{SALLYPORT_NO_RELOAD:-}}" ]; then
    sshd -t && systemctl reload ssh
fi
"""
SERVICE = """\
[Unit]
Description=Keep sshd in step with the Sallyport cluster
After=network-online.target

[Service]
Type=oneshot
ExecStart={folder}/sync
"""
TIMER = """\
[Unit]
Description=Keep sshd in step with the Sallyport cluster, every minute

[Timer]
OnBootSec=10s
OnUnitActiveSec=1min
RandomizedDelaySec=10s

[Install]
WantedBy=timers.target
"""
SSHD = """\
TrustedUserCAKeys {folder}/user-ca.pub
HostCertificate {folder}/host-cert.pub
RevokedKeys {folder}/krl
"""


def write_timer(out: Path, name: str, info: ClusterInfo, bundle: NodeBundle) -> str:
    """Write the files and return what to do with them."""
    out.mkdir(parents=True, exist_ok=True)
    texts = {
        "sync": SCRIPT.format(folder=FOLDER, web=info.web_address, name=name),
        "sallyport-sync.service": SERVICE.format(folder=FOLDER),
        "sallyport-sync.timer": TIMER,
        "sallyport.conf": SSHD.format(folder=FOLDER),
        "ca.pem": "".join(map(ssl.DER_cert_to_PEM_cert, bundle.tls_authorities)),
        "user-ca.pub": bundle.trusted_user_ca_keys,
        "host-cert.pub": bundle.host_certificate,
    }
    for file, text in texts.items():
        (out / file).write_text(text)
    (out / "krl").write_bytes(bundle.krl)
    (out / "sync").chmod(0o755)
    return (
        f"Written to {out}. On {name}, as root:\n\n"
        f"  put sync, ca.pem, user-ca.pub, host-cert.pub and krl into {FOLDER}\n"
        "  put sallyport.conf into /etc/ssh/sshd_config.d\n"
        "  put sallyport-sync.service and sallyport-sync.timer into /etc/systemd/system\n"
        "  systemctl reload ssh && systemctl enable --now sallyport-sync.timer"
    )
