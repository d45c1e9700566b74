import pytest

from tests.support.memory_auth import MemoryAuth
from tests.support.web_tls import make
from tests.support.web_visitor import ADDRESS, Visitor


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return make(tmp_path_factory.mktemp("tls")).authority_der


@pytest.fixture
def auth(authority):
    service = MemoryAuth(address=ADDRESS, authority=authority)
    service.add(
        "ada", password="correct horse battery", totp="JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", roles=("editor",)
    )
    service.add("joe", password="twelve angry men", totp="GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
    return service


@pytest.fixture
def visitor(auth):
    return Visitor(auth, calls_burst=1000)
