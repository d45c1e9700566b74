"""The role document, read strictly.

`parse_role` is the only way in: an unknown field, a wrong type or a value that could never have an
effect is a `DocumentError` with its path; `role_writing.role_to_document` is the way back. What
needs the policy's own languages (predicates, templates, patterns) is looked at by
`appliance.policy.check.check_role`, because the vocabulary may not know them.

Fields of other products that this one would not enforce are refused with a reason: a role that
asks for a protection must not be accepted without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from appliance.domain.document import DocumentError, Reader
from appliance.domain.role import (
    ANY_LABELS,
    MAX_MFA_GRACE,
    MAX_SESSION_TTL,
    MIN_SESSION_TTL,
    Approval,
    ClaimToRoles,
    Conditions,
    GraceScope,
    Impersonation,
    JoinPolicy,
    LabelPatterns,
    LockingMode,
    MfaGrace,
    OnLeave,
    ReasonMode,
    RecordingMode,
    RequestAccess,
    RequestConditions,
    RequiredJoin,
    ResourceConditions,
    ResourceKind,
    ReviewConditions,
    Role,
    RoleOptions,
    RoleVersion,
    Rule,
    SessionMfa,
    Threshold,
)

Document = dict[str, object]

ROLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:-]{0,127}", re.ASCII)
MAX_REQUEST_DURATION = timedelta(days=14)
_SECOND, _YEAR = timedelta(seconds=1), timedelta(days=365)
LOGINS_FIELDS = {
    ResourceKind.APP: None,
    ResourceKind.DATABASE: "db_users",
    ResourceKind.KUBERNETES: "kubernetes_users",
    ResourceKind.DESKTOP: "windows_desktop_logins",
}
MFA_NAMES = {str(mfa): mfa for mfa in SessionMfa if mfa.demands(SessionMfa.HARDWARE_KEY)}
_UNENFORCED = {
    "device_trust_mode": ("off", "optional"),
    "create_host_user_mode": ("off",),
    "enhanced_recording": (),
    "cert_extensions": (),
}


def parse_role(document: Mapping[str, object]) -> Role:
    """Return the role of a `kind: role` document; raises `DocumentError` with the path of the mistake."""
    reader = Reader(document)
    kind = reader.required("kind")
    if kind != "role":
        raise reader.error("kind", f"expected role, not {kind[:64]!r}")
    version = reader.choice("version", RoleVersion)
    if version is None:
        raise reader.error("version", f"is required: one of {', '.join(RoleVersion)}")
    metadata, spec = reader.section("metadata"), reader.section("spec")
    reader.done()
    role = _with_metadata(metadata, _spec(spec, version))
    metadata.done()
    return role


def _with_metadata(reader: Reader, spec: Role) -> Role:
    name = reader.required("name")
    if ROLE_NAME.fullmatch(name) is None:
        raise reader.error("name", "expected letters, digits and '._@:-', at most 128 characters")
    reader.has("namespace")
    labels = reader.section("labels")
    return Role(
        name=name,
        version=spec.version,
        description=reader.text("description"),
        labels=tuple(sorted((key, labels.text(key)) for key, _ in labels.items())),
        expires=reader.moment("expires"),
        revision=reader.text("revision"),
        options=spec.options,
        allow=spec.allow,
        deny=spec.deny,
    )


def _spec(reader: Reader, version: RoleVersion) -> Role:
    allow = _conditions(reader.section("allow"), ANY_LABELS if version is RoleVersion.V3 else ())
    deny_reader = reader.section("deny")
    deny = _conditions(deny_reader, ())
    if deny.request.thresholds:
        raise DocumentError((*deny_reader.path, "request", "thresholds"), "thresholds stand under allow only")
    options = _options(reader.section("options"))
    reader.done()
    return Role(name="unnamed", version=version, options=options, allow=allow, deny=deny)


def _options(reader: Reader) -> RoleOptions:
    for name, harmless in _UNENFORCED.items():
        _refuse_unenforced(reader, name, harmless)
    record = reader.section("record_session")
    options = RoleOptions(
        max_session_ttl=reader.duration("max_session_ttl", least=MIN_SESSION_TTL, most=MAX_SESSION_TTL),
        forward_agent=reader.flag("forward_agent"),
        port_forwarding=reader.flag("port_forwarding"),
        direct_destinations=reader.texts("direct_destinations"),
        permit_x11_forwarding=reader.flag("permit_x11_forwarding"),
        ssh_file_copy=reader.flag("ssh_file_copy"),
        client_idle_timeout=reader.duration("client_idle_timeout", least=_SECOND, most=_YEAR),
        disconnect_expired_cert=reader.flag("disconnect_expired_cert"),
        max_sessions=reader.number("max_sessions", least=1, most=65535),
        max_connections=reader.number("max_connections", least=1, most=65535),
        require_session_mfa=read_session_mfa(reader),
        mfa_verification_interval=reader.duration(
            "mfa_verification_interval", least=MIN_SESSION_TTL, most=MAX_SESSION_TTL
        ),
        mfa_grace=_mfa_grace(reader),
        record_default=record.choice("default", RecordingMode),
        record_ssh=record.choice("ssh", RecordingMode),
        lock=reader.choice("lock", LockingMode),
        request_access=reader.choice("request_access", RequestAccess),
        request_prompt=reader.text("request_prompt"),
        pin_source_ip=reader.flag("pin_source_ip"),
        require_host_bound=reader.flag("require_host_bound"),
        approval=reader.choice("approval", Approval),
    )
    record.done()
    reader.done()
    return options


def _refuse_unenforced(reader: Reader, name: str, harmless: tuple[str, ...]) -> None:
    if reader.has(name) and (values := reader.texts(name)) and not set(values) <= set(harmless):
        raise reader.error(name, "is not enforced by this product, so the role is not accepted with it")


def read_session_mfa(reader: Reader) -> SessionMfa | None:
    """Return what `require_session_mfa` asks for, or None where it is not said."""
    name = "require_session_mfa"
    if reader.has(name):
        given = dict(reader.items())[name]
        if isinstance(given, str) and given in MFA_NAMES:
            return MFA_NAMES[given]
    try:
        flag = reader.flag(name)
    except DocumentError as error:
        expected = f"expected true, false or one of {', '.join(MFA_NAMES)}"
        raise reader.error(name, expected) from error
    return None if flag is None else SessionMfa.CHECK if flag else SessionMfa.OFF


def _mfa_grace(reader: Reader) -> MfaGrace | None:
    if not reader.has("mfa_grace"):
        return None
    section = reader.section("mfa_grace")
    duration = section.duration("duration", least=_SECOND, most=MAX_MFA_GRACE)
    scope = section.choice("scope", GraceScope) or GraceScope.TARGET
    section.done()
    if duration is None:
        raise section.error("duration", "is required")
    return MfaGrace(duration=duration, scope=scope)


def _conditions(reader: Reader, unnamed: LabelPatterns) -> Conditions:
    conditions = Conditions(
        logins=reader.texts("logins"),
        node_labels=_labels(reader, ResourceKind.NODE, unnamed),
        node_labels_expression=reader.text("node_labels_expression"),
        others=tuple(
            one
            for kind in ResourceKind
            if kind is not ResourceKind.NODE
            and (one := _resource(reader, kind, unnamed)) != ResourceConditions(kind=kind)
        ),
        rules=tuple(_rule(item) for item in reader.sections("rules")),
        request=_request(reader.section("request")),
        review_requests=_review(reader.section("review_requests")),
        impersonate=_impersonation(reader.section("impersonate")),
        require_session_join=tuple(_required_join(item) for item in reader.sections("require_session_join")),
        join_sessions=tuple(_join_policy(item) for item in reader.sections("join_sessions")),
    )
    # Labels of user groups select nothing here; seeds' roles carry them, and they grant nothing.
    reader.patterns("group_labels")
    reader.done()
    return conditions


def _labels(reader: Reader, kind: ResourceKind, unnamed: LabelPatterns) -> LabelPatterns:
    name = f"{kind}_labels"
    if not reader.has(name):
        return unnamed
    patterns = reader.patterns(name)
    for key, values in patterns:
        if not values:
            raise DocumentError((*reader.path, name, key), "needs at least one value")
        if key == "*" and values != ("*",):
            raise DocumentError((*reader.path, name, key), "the key '*' stands only with the value '*'")
    return patterns


def _resource(reader: Reader, kind: ResourceKind, unnamed: LabelPatterns) -> ResourceConditions:
    logins = LOGINS_FIELDS[kind]
    return ResourceConditions(
        kind=kind,
        labels=_labels(reader, kind, unnamed),
        expression=reader.text(f"{kind}_labels_expression"),
        logins=() if logins is None else reader.texts(logins),
    )


def _rule(reader: Reader) -> Rule:
    rule = Rule(
        resources=_some(reader, "resources"), verbs=_some(reader, "verbs"), where=reader.text("where")
    )
    reader.done()
    return rule


def _some(reader: Reader, name: str) -> tuple[str, ...]:
    values = reader.texts(name)
    if not values:
        raise reader.missing(name)
    return values


def _claim(reader: Reader) -> ClaimToRoles:
    claim = ClaimToRoles(
        claim=reader.required("claim"), value=reader.required("value"), roles=_some(reader, "roles")
    )
    reader.done()
    return claim


def _request(reader: Reader) -> RequestConditions:
    thresholds = tuple(_threshold(item) for item in reader.sections("thresholds"))
    reason = reader.section("reason")
    request = RequestConditions(
        roles=reader.texts("roles"),
        search_as_roles=reader.texts("search_as_roles"),
        claims_to_roles=tuple(_claim(item) for item in reader.sections("claims_to_roles")),
        thresholds=thresholds,
        suggested_reviewers=reader.texts("suggested_reviewers"),
        annotations=reader.patterns("annotations"),
        max_duration=reader.duration("max_duration", least=MIN_SESSION_TTL, most=MAX_REQUEST_DURATION),
        reason=reason.choice("mode", ReasonMode),
    )
    reason.done()
    reader.done()
    return request


def _threshold(reader: Reader) -> Threshold:
    threshold = Threshold(
        name=reader.text("name") or "default",
        approve=reader.number("approve", least=1, most=1000) or 1,
        deny=reader.number("deny", least=1, most=1000) or 1,
        filter=reader.text("filter"),
    )
    reader.done()
    return threshold


def _review(reader: Reader) -> ReviewConditions:
    review = ReviewConditions(
        roles=reader.texts("roles"),
        claims_to_roles=tuple(_claim(item) for item in reader.sections("claims_to_roles")),
        where=reader.text("where"),
        preview_as_roles=reader.texts("preview_as_roles"),
    )
    reader.done()
    return review


def _impersonation(reader: Reader) -> Impersonation:
    impersonation = Impersonation(
        users=reader.texts("users"), roles=reader.texts("roles"), where=reader.text("where")
    )
    reader.done()
    return impersonation


def _required_join(reader: Reader) -> RequiredJoin:
    required = RequiredJoin(
        name=reader.required("name"),
        filter=reader.required("filter"),
        kinds=_some(reader, "kinds"),
        modes=_some(reader, "modes"),
        count=reader.number("count", least=1, most=100) or 1,
        on_leave=reader.choice("on_leave", OnLeave) or OnLeave.TERMINATE,
    )
    reader.done()
    return required


def _join_policy(reader: Reader) -> JoinPolicy:
    policy = JoinPolicy(
        name=reader.required("name"),
        roles=_some(reader, "roles"),
        kinds=_some(reader, "kinds"),
        modes=_some(reader, "modes"),
    )
    reader.done()
    return policy
