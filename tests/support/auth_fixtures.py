"""Fixtures over `auth_box`: import them into a conftest.py."""

import tempfile
from pathlib import Path

import pytest

from tests.support import auth_box as support


@pytest.fixture(scope="session")
def shared_signer():
    # a short path: the name of a Unix socket has at most 107 bytes
    with (
        tempfile.TemporaryDirectory(prefix="signer-") as folder,
        support.shared_signer_in(Path(folder)) as one,
    ):
        yield one


@pytest.fixture
def box(tmp_path, shared_signer):
    with support.cheap_hashes(), support.auth_box(tmp_path, shared_signer) as one:
        yield one
