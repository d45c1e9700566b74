"""Adding machines: what their host certificates may say, and who sees them."""

import base64

import pytest

from appliance.client.person.home import fresh_keys
from appliance.domain.errors import Exists, Invalid, NotFound
from appliance.domain.operations import nodes
from hsm.encoding import certificate as wire


def test_a_machine_gets_a_certificate_in_its_own_names(box):
    added = box.add_node("web1")
    says = wire.parse(base64.b64decode(added.host_certificate.split()[1])).says
    assert (says.kind, says.principals) == (wire.CertificateKind.HOST, ("web1.main", "web1"))
    assert added.trusted_user_ca_keys.startswith("ssh-ed25519 ")


def test_no_machine_can_be_certified_as_the_bastion(box):
    """With such a certificate it could stand in the bastion's place, and every client would trust it."""
    with pytest.raises(Invalid, match="the bastion's own"):
        box.add_node("bastion")
    assert not box.events("node.create")


@pytest.mark.parametrize("name", ["web1.main", "", "WEB1", "web1,bastion", "*", "a b", "../x"])
def test_other_names_that_are_none_are_refused(box, name):
    with pytest.raises(Invalid):
        box.add_node(name)


def test_a_name_is_given_once(box):
    box.add_node("web1")
    with pytest.raises(Exists):
        box.add_node("web1")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "junk",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-rsa {blob}",
        "ssh-ed25519 {blob}\nssh-ed25519 {blob}",
    ],
)
def test_what_is_no_host_key_is_refused(box, line):
    blob = fresh_keys().ssh_public.split()[1]
    request = nodes.NodeAddOpenssh(name="web1", address="127.0.0.1:22", host_key=line.format(blob=blob))
    with pytest.raises(Invalid):
        box.console("nodes.add_openssh", request)


def test_a_person_sees_the_machines_their_roles_reach(box):
    box.sign_up("joe")
    box.sign_up("eve", roles=())
    box.sign_up("ann", roles=("editor",))
    box.add_node("web1")
    assert [(one.name, one.logins) for one in box.person("joe", "nodes.list").nodes] == [("web1", ("root",))]
    assert box.person("eve", "nodes.list").nodes == ()
    assert [(one.name, one.logins) for one in box.person("ann", "nodes.list").nodes] == [("web1", ())]


def test_a_machine_that_is_not_there_can_not_be_removed(box):
    with pytest.raises(NotFound):
        box.console("nodes.delete", nodes.NodeNamed(name="web9"))
