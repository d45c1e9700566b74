"""Every key of the configuration file, its type, default and meaning.

The descriptions are the configuration reference: `sallyport configure` and docs/configuration.md
are made from them, so that neither can fall behind.
"""

from __future__ import annotations

import re
import socket
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from appliance.domain import names
from appliance.domain.errors import Invalid

_DURATION = re.compile(r"(\d+)(ms|s|m|h|d)", re.ASCII)
LONGEST = 3650 * 86400.0
"""Ten years: a duration beyond is a mistake, and some are too long for any clock."""
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(value: object) -> object:
    """Read `30s`, `8h`, `1h30m` or a number of seconds; returns seconds."""
    if not isinstance(value, str):
        return value
    parts = _DURATION.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise ValueError("expected a duration such as 30s, 15m, 8h or 1h30m")
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def _address(value: str) -> str:
    try:
        names.host_port(value)
    except Invalid as error:
        raise ValueError(str(error)) from error
    return value


def _node_name(value: str) -> str:
    try:
        return names.node_name(value.lower())
    except Invalid as error:
        raise ValueError(str(error)) from error


def _text(value: object) -> object:
    """Read a serial number that was written without quotes."""
    return str(value) if type(value) is int else value


def _sensible(seconds: float) -> float:
    if not seconds <= LONGEST:
        raise ValueError("expected a duration of at most 3650d")
    return seconds


Seconds = Annotated[float, BeforeValidator(duration), Field(gt=0), AfterValidator(_sensible)]
Address = Annotated[str, AfterValidator(_address)]
Name = Annotated[str, AfterValidator(_node_name)]


class Section(BaseModel):
    """A section of the file: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _nothing_in_it(cls, value: object) -> object:
        """A section all of whose keys are commented out has its defaults."""
        return {} if value is None else value


class Severity(StrEnum):
    """How much is logged."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


class ConnectionLimits(Section):
    """How many can be connected at once."""

    max_connections: int = Field(default=1000, ge=1, le=1_000_000)
    """SSH connections one bastion holds at once, signed in or not."""
    max_users: int = Field(default=250, ge=1, le=1_000_000)
    """Different users connected at once."""


class Log(Section):
    """Where the processes' own log goes (the audit log is not meant here)."""

    output: Literal["stderr", "stdout", "syslog"] = "stderr"
    """`stderr`, `stdout` or `syslog`."""
    severity: Severity = Severity.INFO
    """`DEBUG`, `INFO`, `WARN` or `ERROR`."""


class Storage(Section):
    """Where the state of the cluster is kept."""

    type: Literal["sqlite"] = "sqlite"
    """`sqlite`: one file under `data_dir`."""


class Global(Section):
    """What all processes share."""

    nodename: Name = Field(default_factory=lambda: socket.gethostname().lower() or "localhost")
    """The name of this machine. The default is its host name."""
    data_dir: Path = Path("/var/lib/sallyport")
    """The folder for all state: readable by its owner only. Erase it to begin again from nothing."""
    advertise_ip: str | None = None
    """The address others reach this machine at, where it is behind NAT."""
    connection_limits: ConnectionLimits = ConnectionLimits()
    """Limits that keep the bastion usable under load."""
    log: Log = Log()
    """The processes' own log."""
    storage: Storage = Storage()
    """Where the state is kept."""


class Webauthn(Section):
    """Security keys and passkeys."""

    rp_id: str = "localhost"
    """The domain name that security keys are enrolled for. It must never change: every enrolled key is
    bound to it."""


SecondFactor = Literal["otp", "webauthn"]
SECOND_FACTORS: tuple[SecondFactor, ...] = ("otp", "webauthn")


class Authentication(Section):
    """How people prove who they are."""

    type: Literal["local"] = "local"
    """`local`: accounts of this cluster."""
    second_factor: Literal["off", "otp", "webauthn", "on", "optional"] | None = None
    """The older, single form: `otp`, `webauthn`, `on` (either), `optional`, `off`. Give this or
    `second_factors`."""
    second_factors: tuple[SecondFactor, ...] = Field(default=SECOND_FACTORS, min_length=1)
    """Which second factors people can enrol and use; one of them is always required."""
    webauthn: Webauthn = Webauthn()
    """Security keys and passkeys."""
    password_min_length: int = Field(default=12, ge=8, le=128)
    """The shortest password, in characters; the longest is 128."""

    @property
    def factors(self) -> tuple[str, ...]:
        """The second factors that are allowed."""
        match self.second_factor:
            case None:
                return self.second_factors
            case "off":
                return ()
            case "on" | "optional":
                return SECOND_FACTORS
            case one:
                return (one,)

    @property
    def required(self) -> bool:
        """Whether a second factor is required of everybody."""
        return self.second_factor not in {"off", "optional"}


class Lockout(Section):
    """How password guessing is slowed: per source first, so that a stranger can't lock a person out."""

    free_attempts: int = Field(default=5, ge=1, le=100)
    """Failures of one source for one user before it must wait."""
    window: Seconds = 1800.0
    """How long a failure counts."""
    first_delay: Seconds = 1.0
    """The first wait, doubled by each further failure."""
    longest_delay: Seconds = 1200.0
    """The longest wait."""
    source_attempts: int = Field(default=50, ge=1, le=10_000)
    """Failures of one source for all users together before it must wait."""


class CertificateLife(Section):
    """How long certificates live."""

    default_ttl: Seconds = 82800.0
    """A person's certificates, where neither they nor their roles say otherwise: 23 hours."""
    max_ttl: Seconds = Field(default=108000.0, le=108000.0)
    """The longest a person's certificate may live: 30 hours."""
    session_ttl: Seconds = Field(default=120.0, le=900.0)
    """The certificate of one session to one node: it must be used within this time."""
    host_ttl: Seconds = 31536000.0
    """A stock sshd's host certificate: one year."""
    proxy_host_ttl: Seconds = 86400.0
    """Host certificates of the bastion itself, renewed by the bastion."""


class AuthService(Section):
    """The process that decides, keeps state, and has the API."""

    enabled: bool = True
    """Whether this machine runs it."""
    cluster_name: Name = "main"
    """The name of the cluster. It is a part of every certificate: changing it invalidates them all."""
    listen_addr: Address = "127.0.0.1:3025"
    """Where the API listens, with mutual TLS."""
    public_addr: Address | None = None
    """How others reach the API, if not by `listen_addr`."""
    authentication: Authentication = Authentication()
    """How people prove who they are."""
    invite_ttl: Seconds = Field(default=3600.0, le=172800.0)
    """How long a sign-up link is good: one hour; at most 48."""
    lockout: Lockout = Lockout()
    """How password guessing is slowed."""
    certificates: CertificateLife = CertificateLife()
    """How long certificates live."""


class FileToken(Section):
    """An encrypted file: for laptops and trials. It says of itself that it is software."""

    provider: Literal["file"] = "file"
    """`file`."""
    path: Path | None = None
    """The file; the default is `token/keys` under `data_dir`."""
    pin_file: Path | None = None
    """A file with the pass phrase. The default, `token/pin` under `data_dir`, is made at the first start,
    so that a trial runs unattended; production uses a token and a sealed start."""


class Pkcs11Token(Section):
    """Any hardware security module with a PKCS#11 library."""

    provider: Literal["pkcs11"]
    """`pkcs11`."""
    uri: str
    """The token by an RFC 7512 URI: `pkcs11:token=ca?module-path=/usr/lib/softhsm/libsofthsm2.so`."""
    profile: Literal["generic", "softhsm", "yubihsm2", "nitrokey-hsm", "tpm2-pkcs11"] = "generic"
    """What the library can't be asked: see docs/custody.md."""
    pin_file: Path | None = None
    """A file with the user PIN. Without it the signer starts sealed until the PIN is given at the console."""


class PivToken(Section):
    """The PIV applet of a YubiKey, over PC/SC."""

    provider: Literal["piv"]
    """`piv`."""
    serial: Annotated[str, BeforeValidator(_text)] = Field(default="any", pattern=r"^(any|[0-9]{1,10})$")
    """The key's serial number, or `any` for the first that is found."""
    pin_file: Path | None = None
    """A file with the PIN. Without it the signer starts sealed until the PIN is given at the console."""
    management_key_file: Path | None = None
    """A file with the management key (AES, hexadecimal). Without it keys can be used and none can be made."""
    attestation_roots: Path | None = None
    """PEM certificates that may vouch for where a key was made: Yubico's PIV root, or your own."""


class SignerService(Section):
    """The process that holds the token and signs."""

    enabled: bool = True
    """Whether this machine runs it."""
    token: Annotated[FileToken | Pkcs11Token | PivToken, Field(discriminator="provider")] = FileToken()
    """Where the private keys are."""
    unseal: Literal["prompt", "yubikeys", "systemd-creds"] | None = None
    """How the PIN is released where there is no `pin_file`. `prompt`: a person types it at the console;
    `yubikeys`: several holders' YubiKeys together; `systemd-creds`: the machine's TPM."""
    limits: dict[str, Any] = {}
    """The signer's own limits, by caller, where they differ from the built-in ones: see docs/custody.md."""

    @model_validator(mode="after")
    def _one_way_to_the_pin(self) -> SignerService:
        if self.unseal is not None and self.token.pin_file is not None:
            raise ValueError("a pin_file of the token and a sealed start (unseal) exclude each other")
        return self


class ProxyService(Section):
    """The SSH endpoint and the web pages."""

    enabled: bool = True
    """Whether this machine runs it."""
    listen_addr: Address = "0.0.0.0:3023"
    """Where SSH clients connect."""
    ssh_public_addr: Address | None = None
    """How people reach the SSH endpoint, if not by the web address's host and `listen_addr`'s port."""
    web_listen_addr: Address = "0.0.0.0:3080"
    """Where browsers and `sally` connect, with TLS."""
    public_addr: Address | None = None
    """How people reach the web pages. The host is a domain name that `rp_id` is, or is a suffix of."""
    https_key_file: Path | None = None
    """The web pages' private key, PEM. Without one a certificate of the cluster's own TLS CA is used."""
    https_cert_file: Path | None = None
    """The web pages' certificate chain, PEM."""
    algorithms: Literal["compat", "pq-only"] = "compat"
    """`compat`: OpenSSH 8.4 and later connect. `pq-only`: post-quantum key exchange or nothing."""
    workers: int = Field(default=2, ge=1, le=64)
    """SSH worker processes behind the one port; as many as there are cores is right."""

    @model_validator(mode="after")
    def _both_https_files(self) -> ProxyService:
        if (self.https_key_file is None) != (self.https_cert_file is None):
            raise ValueError("https_key_file and https_cert_file go together")
        return self


class Config(Section):
    """The whole file."""

    sallyport: Global = Global()
    """What all processes share."""
    auth_service: AuthService = AuthService()
    """The process that decides, keeps state, and has the API."""
    signer_service: SignerService = SignerService()
    """The process that holds the token and signs."""
    proxy_service: ProxyService = ProxyService()
    """The SSH endpoint and the web pages."""

    @property
    def data_dir(self) -> Path:
        """Shorthand: the folder for all state."""
        return self.sallyport.data_dir
