"""Where the policy comes from: edits that are good, broken, undone; files and blobs that vanish; nothing read twice."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPResponse

from adapters import connect, policy_source
from adapters.policy_source import PolicyUnusable, current_policy
from adapters.settings import SettingsError, read_settings
from demo.policies import policy_text
from tests.adapters.test_connection import AskedForScopes

ONE, TWO = policy_text("office"), policy_text("office", "branch")
URL = "https://stgoldroll.blob.core.windows.net/policy/goldroll.yaml"


def pools() -> list[str]:
    return [pool.name for pool in current_policy().host_pools]


# ------------------------------------------------------------------------------------------------------------ a file


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "goldroll.yaml"
    path.write_text(ONE, encoding="utf-8")
    monkeypatch.setenv("GOLDROLL_POLICY", str(path))
    return path


def test_an_edit_counts_at_once(file: Path) -> None:
    assert pools() == ["office"]
    file.write_text(TWO, encoding="utf-8")
    assert pools() == ["office", "branch"]


@pytest.mark.parametrize("broken", ["images: [", "host_pools: []", "", "\x00"])
def test_a_broken_edit_is_refused_loudly_and_the_last_good_one_stays(
    file: Path, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    file.write_text(TWO, encoding="utf-8")
    assert pools() == ["office", "branch"]
    file.write_text(broken, encoding="utf-8")

    assert [pools(), pools(), pools()] == [["office", "branch"]] * 3
    (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert error.message.startswith("the policy cannot be used, and the last good one stays in use: goldroll.yaml: ")


def test_a_file_that_is_gone_leaves_the_last_good_one(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert pools() == ["office"]
    file.unlink()
    assert pools() == ["office"]
    assert any(record.levelno == logging.ERROR for record in caplog.records)


def test_a_repaired_edit_counts_and_is_told(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert pools() == ["office"]
    file.write_text("nonsense", encoding="utf-8")
    assert pools() == ["office"]
    file.write_text(TWO, encoding="utf-8")
    assert pools() == ["office", "branch"]
    assert caplog.messages[-1] == "the policy can be used again: goldroll.yaml"
    file.write_text("nonsense", encoding="utf-8")
    assert pools() == ["office", "branch"]
    assert caplog.records[-1].levelno == logging.ERROR


def test_who_has_never_seen_a_good_one_uses_none(file: Path) -> None:
    file.write_text("nonsense", encoding="utf-8")
    with pytest.raises(PolicyUnusable, match=r"goldroll\.yaml"):
        current_policy()


# ------------------------------------------------------------------------------------------------------------ a blob


class Storage(BaseAdapter):
    """A blob as the Blob service serves it: an ETag, 304 for who knows it, errors in XML. `status` overrides all."""

    def __init__(self) -> None:
        super().__init__()
        self.content = ONE.encode()
        self.etag = '"0x1"'
        self.status = 200
        self.answers: list[int] = []
        self.headers: list[dict[str, str]] = []

    def write(self, content: str | bytes) -> None:
        """Write another content; the ETag changes with it."""
        self.content = content.encode() if isinstance(content, str) else content
        self.etag = f'"0x{int(self.etag.strip(chr(34)), 16) + 1:x}"'

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Answer one request."""
        assert request.url == URL
        assert request.method == "GET"
        self.headers.append({name: str(value) for name, value in request.headers.items()})
        known = request.headers.get("If-None-Match") == self.etag
        status = self.status if self.status != 200 else 304 if known else 200
        error = b'<?xml version="1.0"?><Error><Code>AuthorizationPermissionMismatch</Code></Error>'
        content = self.content if status == 200 else b"" if status == 304 else error
        self.answers.append(status)
        return _answer(request, status, content, {"ETag": self.etag, "Content-Type": "application/octet-stream"})

    def close(self) -> None:
        """Nothing is open."""


def _answer(
    request: requests.PreparedRequest, status: int, content: bytes, headers: Mapping[str, str]
) -> requests.Response:
    answer = requests.Response()
    answer.status_code, answer.headers, answer.request = status, CaseInsensitiveDict(headers), request
    answer.raw = HTTPResponse(io.BytesIO(content), headers=headers, status=status, preload_content=False)
    answer.url = request.url or ""
    return answer


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    blob, session, credential = Storage(), requests.Session(), AskedForScopes()
    session.adapters.clear()
    session.mount("https://", blob)
    monkeypatch.setenv("GOLDROLL_POLICY", URL)
    monkeypatch.setattr(policy_source._Kept, "seen", policy_source._Seen(""))
    transport = RequestsTransport(session=session, session_owner=False)
    connect.use(connect.Connection("https://management.azure.com", credential, transport))
    yield blob
    connect.use(None)
    assert credential.scopes <= {"https://storage.azure.com/.default"}


def test_a_blob_is_read_with_the_apps_identity_and_not_sent_twice(storage: Storage) -> None:
    assert [pools(), pools(), pools()] == [["office"]] * 3
    assert storage.answers == [200, 304, 304]
    assert storage.headers[0]["Authorization"] == "Bearer token"
    assert storage.headers[0]["x-ms-version"] == "2021-12-02"


def test_an_edit_of_a_blob_counts_at_once(storage: Storage) -> None:
    assert pools() == ["office"]
    storage.write(TWO)
    assert pools() == ["office", "branch"]
    assert pools() == ["office", "branch"]
    assert storage.answers == [200, 200, 304]


@pytest.mark.parametrize("content", [b"nonsense", b"\xff\xfe", b"#" * 3_000_000], ids=["broken", "no text", "large"])
def test_a_broken_edit_of_a_blob_is_refused_until_it_is_repaired(
    storage: Storage, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    assert pools() == ["office"]
    storage.write(content)
    assert [pools(), pools()] == [["office"]] * 2
    assert sum(record.levelno == logging.ERROR for record in caplog.records) == 1
    storage.write(TWO)
    assert pools() == ["office", "branch"]


@pytest.mark.parametrize("status", [403, 404, 429, 500])
def test_a_blob_that_cannot_be_read_leaves_the_last_good_one(
    storage: Storage, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    assert pools() == ["office"]
    storage.status = status
    assert pools() == ["office"]
    assert any("policy/goldroll.yaml: " in record.message for record in caplog.records)
    storage.status = 200
    assert pools() == ["office"]


def test_a_blob_that_could_never_be_read_is_no_policy(storage: Storage) -> None:
    storage.status = 403
    with pytest.raises(PolicyUnusable, match=r"policy/goldroll\.yaml"):
        current_policy()


@pytest.mark.parametrize(
    "url",
    [
        "http://stgoldroll.blob.core.windows.net/policy/goldroll.yaml",
        "https://example.com/policy/goldroll.yaml",
        "https://stgoldroll.blob.core.windows.net/goldroll.yaml",
        f"{URL}?sig=secret",
    ],
)
def test_an_address_that_is_no_blob_or_holds_a_signature_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match="GOLDROLL_POLICY: expected a file, or a blob") as refused:
        read_settings({"GOLDROLL_POLICY": url})
    assert "secret" not in str(refused.value)


def test_a_blob_in_each_cloud_is_an_address() -> None:
    for host in ("x.blob.core.windows.net", "x.blob.core.usgovcloudapi.net", "x.blob.core.chinacloudapi.cn"):
        url = f"https://{host}/policy/goldroll.yaml"
        assert read_settings({"GOLDROLL_POLICY": url}).policy_url == url
