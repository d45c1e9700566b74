"""What can go wrong with a proof, as one family.

    AuthenticatorError            `.code` is an enum member, never a sentence
    ├── OtpError                  OtpErrorCode           otp/: TOTP, HOTP, Yubico OTP, challenge-response
    ├── RecoveryCodeError         RecoveryCodeErrorCode  recovery_codes.py
    ├── WebAuthnError             WebAuthnErrorCode      fido2/relying_party.py and its parsers
    ├── AttestationError          AttestationErrorCode   fido2/attestation.py
    ├── MetadataError             MetadataErrorCode      fido2/metadata.py
    ├── U2fError                  U2fErrorCode           u2f/
    ├── SshSkError                SshSkErrorCode         ssh_sk.py
    └── DeviceError               DeviceErrorCode        devices/

A code says which rule a proof broke; it goes to the audit log, while the peer hears only "no".
Messages hold no secret: no code typed by a person, no key, no PIN, no challenge.
"""

from __future__ import annotations

from enum import StrEnum


class AuthenticatorError(Exception):
    """The root of the family. `code` is what programs look at, the message is for the audit log."""

    code: StrEnum

    def __init__(self, code: StrEnum, message: str = "") -> None:
        super().__init__(message or code.value)
        self.code = code

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code.value})"


class OtpErrorCode(StrEnum):
    """Why a one-time password, or the material that makes them, was refused."""

    MALFORMED = "malformed"
    WRONG_CODE = "wrong_code"
    ALREADY_USED = "already_used"
    WEAK_SECRET = "weak_secret"  # noqa: S105 -- the name of a condition
    BAD_PARAMETER = "bad_parameter"
    NOT_CONSECUTIVE = "not_consecutive"
    WRONG_LENGTH = "wrong_length"
    NOT_MODHEX = "not_modhex"
    WRONG_PUBLIC_ID = "wrong_public_id"
    WRONG_PRIVATE_ID = "wrong_private_id"
    BAD_CRC = "bad_crc"
    USE_COUNTER_WENT_BACK = "use_counter_went_back"
    SESSION_COUNTER_WENT_BACK = "session_counter_went_back"
    TIMESTAMP_WENT_BACK = "timestamp_went_back"
    COUNTER_OUT_OF_RANGE = "counter_out_of_range"
    SERVER_UNREACHABLE = "server_unreachable"
    SERVER_ANSWER_MALFORMED = "server_answer_malformed"
    SERVER_SIGNATURE_WRONG = "server_signature_wrong"
    SERVER_NONCE_MISMATCH = "server_nonce_mismatch"
    SERVER_OTP_MISMATCH = "server_otp_mismatch"
    SERVER_ANSWER_STALE = "server_answer_stale"
    SERVER_REFUSED = "server_refused"
    CHALLENGE_TOO_LONG = "challenge_too_long"
    CHALLENGE_EMPTY = "challenge_empty"
    WRONG_RESPONSE = "wrong_response"


class OtpError(AuthenticatorError):
    """A one-time password was refused."""

    code: OtpErrorCode


class RecoveryCodeErrorCode(StrEnum):
    """Why a recovery code, or a stored set of them, was refused."""

    MALFORMED = "malformed"
    WRONG_CODE = "wrong_code"
    ALREADY_USED = "already_used"
    BAD_SET = "bad_set"


class RecoveryCodeError(AuthenticatorError):
    """A recovery code was refused."""

    code: RecoveryCodeErrorCode


class WebAuthnErrorCode(StrEnum):
    """Why a WebAuthn ceremony was refused: a step of WebAuthn Level 3 §7.1 or §7.2, or a rule of ours."""

    # the ceremony
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    WRONG_SCOPE = "wrong_scope"
    WRONG_CEREMONY = "wrong_ceremony"
    BAD_STATE = "bad_state"
    BAD_PARAMETER = "bad_parameter"
    WEAK_CHALLENGE = "weak_challenge"
    # the response's envelope
    MALFORMED_RESPONSE = "malformed_response"
    RESPONSE_TOO_LARGE = "response_too_large"
    DUPLICATE_KEY = "duplicate_key"
    BAD_BASE64 = "bad_base64"
    PADDED_BASE64 = "padded_base64"
    ID_MISMATCH = "id_mismatch"
    WRONG_CREDENTIAL_TYPE = "wrong_credential_type"
    # collected client data
    BYTE_ORDER_MARK = "byte_order_mark"
    MALFORMED_CLIENT_DATA = "malformed_client_data"
    WRONG_TYPE = "wrong_type"
    WRONG_CHALLENGE = "wrong_challenge"
    WRONG_ORIGIN = "wrong_origin"
    CROSS_ORIGIN = "cross_origin"
    WRONG_TOP_ORIGIN = "wrong_top_origin"
    TOKEN_BINDING = "token_binding"  # noqa: S105 -- the name of a condition
    # authenticator data
    MALFORMED_CBOR = "malformed_cbor"
    MALFORMED_AUTHENTICATOR_DATA = "malformed_authenticator_data"
    MALFORMED_ATTESTATION_OBJECT = "malformed_attestation_object"
    WRONG_RP_ID_HASH = "wrong_rp_id_hash"
    USER_NOT_PRESENT = "user_not_present"
    USER_NOT_VERIFIED = "user_not_verified"
    BACKED_UP_BUT_NOT_ELIGIBLE = "backed_up_but_not_eligible"
    BACKUP_ELIGIBILITY_CHANGED = "backup_eligibility_changed"
    NO_CREDENTIAL_DATA = "no_credential_data"
    CREDENTIAL_ID_TOO_LONG = "credential_id_too_long"
    # the credential
    ALGORITHM_NOT_OFFERED = "algorithm_not_offered"
    BAD_PUBLIC_KEY = "bad_public_key"
    CREDENTIAL_EXCLUDED = "credential_excluded"
    UNKNOWN_CREDENTIAL = "unknown_credential"
    CREDENTIAL_NOT_ALLOWED = "credential_not_allowed"
    CREDENTIAL_OF_ANOTHER_USER = "credential_of_another_user"
    USER_HANDLE_MISSING = "user_handle_missing"
    USER_HANDLE_MISMATCH = "user_handle_mismatch"
    BAD_SIGNATURE = "bad_signature"


class WebAuthnError(AuthenticatorError):
    """A WebAuthn registration or authentication was refused."""

    code: WebAuthnErrorCode


class AttestationErrorCode(StrEnum):
    """Why an attestation statement is not valid, or why the policy refuses what it proves."""

    UNSUPPORTED_FORMAT = "unsupported_format"
    MALFORMED = "malformed"
    EVIDENCE_MISMATCH = "evidence_mismatch"
    BAD_SIGNATURE = "bad_signature"
    BAD_CERTIFICATE = "bad_certificate"
    AAGUID_MISMATCH = "aaguid_mismatch"
    NOT_TRUSTED = "not_trusted"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CA_DENIED = "ca_denied"
    AAGUID_DENIED = "aaguid_denied"
    AAGUID_NOT_ALLOWED = "aaguid_not_allowed"
    NO_ATTESTATION = "no_attestation"
    SELF_ATTESTATION = "self_attestation"
    NOT_IN_METADATA = "not_in_metadata"
    METADATA_STALE = "metadata_stale"
    METADATA_MISSING = "metadata_missing"
    MODEL_REVOKED = "model_revoked"
    MODEL_COMPROMISED = "model_compromised"
    CERTIFICATION_TOO_LOW = "certification_too_low"


class AttestationError(AuthenticatorError):
    """An attestation was refused."""

    code: AttestationErrorCode


class MetadataErrorCode(StrEnum):
    """Why a FIDO metadata BLOB was refused."""

    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    ALGORITHM_NOT_ALLOWED = "algorithm_not_allowed"
    UNTRUSTED_CHAIN = "untrusted_chain"
    CERTIFICATE_EXPIRED = "certificate_expired"
    BAD_SIGNATURE = "bad_signature"
    WRONG_SIGNER = "wrong_signer"
    WENT_BACK = "went_back"


class MetadataError(AuthenticatorError):
    """A FIDO metadata BLOB was refused."""

    code: MetadataErrorCode


class U2fErrorCode(StrEnum):
    """Why a U2F message was refused."""

    MALFORMED = "malformed"
    BAD_APP_ID = "bad_app_id"
    BAD_FACET = "bad_facet"
    WRONG_TYPE = "wrong_type"
    WRONG_CHALLENGE = "wrong_challenge"
    FACET_NOT_TRUSTED = "facet_not_trusted"
    EXPIRED = "expired"
    UNKNOWN_KEY_HANDLE = "unknown_key_handle"
    BAD_PUBLIC_KEY = "bad_public_key"
    BAD_CERTIFICATE = "bad_certificate"
    BAD_SIGNATURE = "bad_signature"
    USER_NOT_PRESENT = "user_not_present"
    DEVICE_ERROR = "device_error"


class U2fError(AuthenticatorError):
    """A U2F registration or authentication was refused."""

    code: U2fErrorCode


class SshSkErrorCode(StrEnum):
    """Why an OpenSSH security-key public key or signature was refused."""

    MALFORMED = "malformed"
    UNSUPPORTED_KEY_TYPE = "unsupported_key_type"
    KEY_TYPE_MISMATCH = "key_type_mismatch"
    BAD_PUBLIC_KEY = "bad_public_key"
    WRONG_APPLICATION = "wrong_application"
    USER_NOT_PRESENT = "user_not_present"
    USER_NOT_VERIFIED = "user_not_verified"
    BAD_SIGNATURE = "bad_signature"


class SshSkError(AuthenticatorError):
    """A signature of an OpenSSH security key was refused."""

    code: SshSkErrorCode


class DeviceErrorCode(StrEnum):
    """Why a key on this machine could not be used."""

    NO_DEVICE = "no_device"
    NO_SUCH_SERIAL = "no_such_serial"
    ACCESS_DENIED = "access_denied"
    REMOVED = "removed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    PIN_BLOCKED = "pin_blocked"
    PIN_NEEDS_REINSERTION = "pin_needs_reinsertion"
    PIN_REQUIRED = "pin_required"
    PIN_NOT_SET = "pin_not_set"
    NO_CREDENTIAL = "no_credential"
    ALREADY_REGISTERED = "already_registered"
    NOT_SUPPORTED = "not_supported"
    WRONG_ORIGIN = "wrong_origin"
    BAD_OPTIONS = "bad_options"
    KEY_STORE_FULL = "key_store_full"
    SLOT_EMPTY = "slot_empty"
    PASSWORD_REQUIRED = "password_required"  # noqa: S105 -- the name of a condition
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 -- the name of a condition
    NO_ACCOUNT = "no_account"
    BROKEN = "broken"


class DeviceError(AuthenticatorError):
    """A person's key could not be used. `tries_left` is set where the key told us."""

    code: DeviceErrorCode

    def __init__(self, code: DeviceErrorCode, message: str = "", *, tries_left: int | None = None) -> None:
        super().__init__(code, message)
        self.tries_left = tries_left
