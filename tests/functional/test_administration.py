"""Roles and settings by `sallyctl`, on the real processes: dev without a check, prod with one (seed 000)."""

import pytest

from tests.support.box import running_box

pytestmark = pytest.mark.functional

ROLES = """\
kind: role
version: v7
metadata: {name: dev}
spec:
  allow: {logins: ['{{internal.logins}}'], node_labels: {env: dev}}
---
kind: role
version: v7
metadata: {name: prod}
spec:
  options: {require_session_mfa: true}
  allow: {logins: ['{{internal.logins}}'], node_labels: {env: prod}}
"""


@pytest.mark.timeout(120)
def test_dev_needs_no_check_and_prod_does(tmp_path):
    with running_box(tmp_path / "box") as box:
        file = tmp_path / "roles.yaml"
        file.write_text(ROLES)
        assert box.sallyctl("create", "-f", str(file)).stdout.split() == [
            "role/dev",
            "created",
            "role/prod",
            "created",
        ]
        box.sallyctl("users", "add", "dan", "root", "--roles=dev,prod")
        for name in ("dev", "prod"):
            key = tmp_path / f"{name}.pub"
            key.write_text(_host_key())
            words = ("--addr=127.0.0.1:22", f"--labels=env={name}", "--host-key", str(key))
            box.sallyctl("nodes", "add", f"{name}1", "--openssh", *words)
        assert box.sallyctl("access", "why", "dan", "root@dev1").stdout.startswith("allowed")
        said = box.sallyctl("access", "why", "dan", "root@prod1").stdout
        assert said.startswith("needs proof")
        assert "spec.options.require_session_mfa" in said
        file.write_text(ROLES.replace("node_labels", "node_label", 1))
        refused = box.sallyctl("create", "-f", str(file))
        assert refused.returncode == 1
        assert "roles.yaml: line 5: spec.allow.node_label: unknown field; did you mean" in refused.stderr


def _host_key():
    from appliance.client.person.home import fresh_keys  # noqa: PLC0415 - only here

    return fresh_keys().ssh_public
