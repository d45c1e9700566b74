from tests.support.auth_fixtures import box, shared_signer

__all__ = ["box", "shared_signer"]
