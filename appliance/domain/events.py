"""The audit events: every name and code in one place, and the one shape of a record.

Names and fields are the field's usual ones (`auth`, `session.start`, …, `addr.remote`, `login`, `sid`);
where there is none, `subject.action`. A code is stable: letters, number, then I (done) or W (refused).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

Value = str | int | bool | float | None | tuple[str, ...]


class EventName(Enum):
    """An event's name and its code."""

    AUTH = ("auth", "SP1000")
    USER_LOGIN = ("user.login", "SP1001")
    CERT_CREATE = ("cert.create", "SP1100")
    CERT_REVOKE = ("cert.revoke", "SP1101")
    USER_CREATE = ("user.create", "SP1200")
    USER_UPDATE = ("user.update", "SP1201")
    USER_DELETE = ("user.delete", "SP1202")
    USER_RESET = ("user.reset", "SP1203")
    INVITE_CREATE = ("invite.create", "SP1210")
    INVITE_USE = ("invite.use", "SP1211")
    MFA_ADD = ("mfa.add", "SP1220")
    MFA_DELETE = ("mfa.delete", "SP1221")
    MFA_CLONE = ("mfa.clone_alarm", "SP1222")
    MFA_CHALLENGE = ("mfa_auth_challenge.validate", "SP1225")
    ADMIN_ACTION = ("admin_action.confirmed", "SP1226")
    RECOVERY_CODES = ("recovery_code.generated", "SP1230")
    RECOVERY_CODE_USED = ("recovery_code.used", "SP1231")
    AUTH_PREFERENCE_UPDATE = ("auth_preference.update", "SP1240")
    ROLE_CREATE = ("role.create", "SP1250")
    ROLE_UPDATE = ("role.update", "SP1251")
    ROLE_DELETE = ("role.delete", "SP1252")
    NODE_CREATE = ("node.create", "SP1300")
    NODE_DELETE = ("node.delete", "SP1301")
    SESSION_START = ("session.start", "SP2000")
    SESSION_JOIN = ("session.join", "SP2001")
    SESSION_LEAVE = ("session.leave", "SP2002")
    SESSION_END = ("session.end", "SP2003")
    SESSION_REJECTED = ("session.rejected", "SP2004")
    SESSION_CONNECT = ("session.connect", "SP2005")
    EXEC = ("exec", "SP2100")
    SCP = ("scp", "SP2101")
    SFTP = ("sftp", "SP2102")
    RESIZE = ("resize", "SP2103")
    SUBSYSTEM = ("subsystem", "SP2104")
    PORT = ("port", "SP2105")
    ENV = ("env", "SP2106")
    RECORDING_COMPLETE = ("recording.complete", "SP2200")
    RECORDING_LOST = ("recording.lost", "SP2201")
    RECORDING_ACCESS = ("recording.access", "SP2202")
    ACCESS_DENIED = ("access.denied", "SP3000")
    AUTHORITY_CREATE = ("cert_authority.create", "SP4000")
    AUTHORITY_ROTATE = ("cert_authority.rotate", "SP4001")
    SERVICE_START = ("service.start", "SP9000")
    SERVICE_STOP = ("service.stop", "SP9001")
    AUDIT_REPAIRED = ("audit.repaired", "SP9100")
    AUDIT_PRESSURE = ("audit.disk_pressure", "SP9101")

    @property
    def text(self) -> str:
        """The name as it stands in the log."""
        name: str = self.value[0]
        return name

    @property
    def code(self) -> str:
        """The stable code, without the letter of the outcome."""
        code: str = self.value[1]
        return code


BY_NAME = {name.text: name for name in EventName}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact. `error` set means that it was refused or failed."""

    name: EventName
    user: str = ""
    login: str = ""
    sid: str = ""
    server_id: str = ""
    source: str = ""
    error: str = ""
    detail: Mapping[str, Value] = field(default_factory=dict)

    def to_record(self) -> dict[str, Value]:
        """Return the flat record that goes into the log; empty fields are left out."""
        named = {
            "user": self.user,
            "login": self.login,
            "sid": self.sid,
            "server_id": self.server_id,
            "addr.remote": self.source,
            "error": self.error,
        }
        outcome = "W" if self.error else "I"
        head: dict[str, Value] = {"event": self.name.text, "code": self.name.code + outcome}
        if self.name in {EventName.AUTH, EventName.USER_LOGIN}:
            head["success"] = not self.error
        return head | {key: value for key, value in named.items() if value} | dict(self.detail)
