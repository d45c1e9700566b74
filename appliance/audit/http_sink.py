"""Copies of the events as HTTP requests: plain JSON, Splunk's event collector, Elasticsearch's bulk."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, assert_never
from urllib.parse import urlsplit

from appliance.audit.errors import SinkUnavailable
from appliance.audit.sinks import Sink

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT = 10.0
MAX_ANSWER = 16 * 1024 * 1024
"""Bytes of an answer that are read."""
ALREADY_THERE = 409
"""Elasticsearch's status for an event that an earlier try had delivered."""
OK = range(200, 300)


class HttpForm(StrEnum):
    """What a collector wants to read."""

    JSON = "json"
    """An array of events."""
    LINES = "ndjson"
    """A line an event."""
    SPLUNK = "splunk"
    """Splunk's HTTP event collector: `{"event": …}` after each other."""
    ELASTIC = "elastic"
    """Elasticsearch's `_bulk`: a create action before each event, its id the event's `uid`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTarget:
    """An HTTP collector. `headers` carry its token and are never logged."""

    url: str
    form: HttpForm = HttpForm.JSON
    headers: tuple[tuple[str, str], ...] = ()
    ca_file: Path | None = None

    def __repr__(self) -> str:
        return f"HttpTarget(url={self.url!r}, form={self.form!r}, headers=<secret>)"


def http_body(lines: Sequence[bytes], form: HttpForm) -> bytes:
    """Return a batch as the collector wants it."""
    match form:
        case HttpForm.JSON:
            return b"[" + b",".join(lines) + b"]"
        case HttpForm.LINES:
            return b"".join(line + b"\n" for line in lines)
        case HttpForm.SPLUNK:
            return b"".join(b'{"event":%s,"sourcetype":"_json"}\n' % line for line in lines)
        case HttpForm.ELASTIC:
            return b"".join(_create_action(line) + line + b"\n" for line in lines)
        case _:
            assert_never(form)


def _create_action(line: bytes) -> bytes:
    uid = json.loads(line).get("uid")
    return json.dumps({"create": {"_id": uid} if isinstance(uid, str) else {}}).encode() + b"\n"


class HttpSink(Sink):
    """Posts batches; a batch is taken when the answer is 2xx.

    Neither redirects nor proxies nor the environment have a say in where the events go.
    """

    def __init__(self, target: HttpTarget) -> None:
        self._target = target
        self._url = urlsplit(target.url)
        self._connection: http.client.HTTPConnection | None = None

    def send(self, lines: Sequence[bytes]) -> None:
        """Post the lines as one request."""
        try:
            status, answer = self._post(http_body(lines, self._target.form))
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise SinkUnavailable(f"{self._where}: {error}") from error
        if status not in OK:
            raise SinkUnavailable(f"{self._where} answered {status}")
        if self._target.form is HttpForm.ELASTIC:
            self._check_bulk(answer)

    def close(self) -> None:
        """Close the connection; the next batch opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def _where(self) -> str:
        """The address without what may be secret in it."""
        return f"{self._url.scheme}://{self._url.hostname}:{self._url.port or ''}{self._url.path}"

    def _post(self, body: bytes) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = self._connect()
        lined = self._target.form in {HttpForm.LINES, HttpForm.ELASTIC}
        kind = "application/x-ndjson" if lined else "application/json"
        path = f"{self._url.path or '/'}{f'?{self._url.query}' if self._url.query else ''}"
        self._connection.request("POST", path, body, {"Content-Type": kind, **dict(self._target.headers)})
        answer = self._connection.getresponse()
        content = answer.read(MAX_ANSWER)
        if not answer.isclosed():
            self.close()
        return answer.status, content

    def _connect(self) -> http.client.HTTPConnection:
        host = self._url.hostname or ""
        match self._url.scheme:
            case "https":
                context = ssl.create_default_context(cafile=self._target.ca_file)
                return http.client.HTTPSConnection(host, self._url.port, timeout=TIMEOUT, context=context)
            case "http":
                return http.client.HTTPConnection(host, self._url.port, timeout=TIMEOUT)
        raise ValueError("the address of a collector begins with https:// or http://")

    def _check_bulk(self, answer: bytes) -> None:
        """Look into a bulk answer: it is 200 even when single events were refused."""
        try:
            items = json.loads(answer)["items"]
            refused = [
                status
                for item in items
                if (status := item["create"]["status"]) not in OK and status != ALREADY_THERE
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise SinkUnavailable(f"{self._where} did not answer as a bulk interface does") from error
        if refused:
            raise SinkUnavailable(f"{self._where} refused {len(refused)} events, the first with {refused[0]}")
