"""What a cluster says of itself becomes file names and configuration lines: each is parsed first."""

from dataclasses import replace
from datetime import timedelta

import pytest

from appliance.client.person.home import Home
from appliance.client.person.sign_in import profile_of
from appliance.client.person.ssh_config import ssh_config
from appliance.client.person.trust import Contact
from appliance.domain.errors import Unavailable
from appliance.domain.operations.people import IssuedCredentials
from tests.appliance.client.test_trust import info
from tests.support.hand_clock import START

ISSUED = IssuedCredentials(
    user="joe",
    cluster="main",
    ssh_certificate="",
    tls_certificate=b"",
    tls_authorities=(),
    host_authority="",
    logins=("root",),
    roles=("access",),
    expires_at=START + timedelta(hours=1),
)


def profile(*, said=None, **issued):
    contact = Contact(api=None, info=replace(info(b""), **(said or {})), system_trust=False)
    return profile_of(contact, "localhost:3080", replace(ISSUED, **issued))


def test_a_sign_in_is_remembered_and_its_ssh_configuration_names_the_cluster(tmp_path):
    text = ssh_config(Home(tmp_path), profile())
    assert "Host *.main\n    ProxyJump sallyport-main\n" in text


@pytest.mark.parametrize(
    "user", ["../../.ssh/authorized_keys", "/etc/passwd", "joe\n", "", ".", "joe/x", "Joe"]
)
def test_a_user_name_can_not_lead_out_of_the_folder(user):
    with pytest.raises(Unavailable, match="can't be one"):
        profile(user=user)


@pytest.mark.parametrize("cluster", ["main\n    ProxyCommand touch /tmp/x", "*", "a b", ""])
def test_a_cluster_name_can_not_add_lines_to_the_configuration(cluster):
    with pytest.raises(Unavailable, match="can't be one"):
        profile(said={"cluster": cluster}, cluster=cluster)


@pytest.mark.parametrize("field", ["ssh_address", "api_address"])
@pytest.mark.parametrize(
    "address", ["host:22\n    ProxyCommand x", "$(x):22", "fe80::1%\n:22", "[fe80::1%;x]:22"]
)
def test_an_address_can_not_add_lines_to_the_configuration(field, address):
    with pytest.raises(Unavailable, match="can't be one"):
        profile(said={field: address})


def test_a_login_is_a_login():
    with pytest.raises(Unavailable, match="can't be one"):
        profile(logins=("root;reboot",))


def test_a_cluster_that_changes_its_name_is_not_gone_along_with():
    with pytest.raises(Unavailable, match="changed its name"):
        profile(cluster="other")
