"""A table service: one account's tables, with what the Azure SDK's table client needs of its wire format.

Tables are made, rows are upserted alone or in transactions, and queried with comparisons joined by `and`, page by page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from simulator.errors import AzureError
from simulator.wire import Json

PAGE = 1000
MOST_IN_TRANSACTION = 100
_JSON = "application/json;odata=minimalmetadata;charset=utf-8"

Row = dict[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back: a body as text."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class Tables:
    """The tables of one account. `is_out` makes every call fail as an account does that cannot be reached."""

    def __init__(self, root: str = "") -> None:
        """`root` is what comes before the name of a table in a path, such as `/devstoreaccount1`."""
        self._root = root
        self.tables: dict[str, dict[tuple[str, str], Row]] = {}
        self.calls = 0
        self.is_out = False

    def handle(self, method: str, url: str, headers: Mapping[str, str], body: bytes | str | None = None) -> Reply:
        """Answer one request; never raises."""
        self.calls += 1
        if self.is_out:
            return _refusal(AzureError(503, "ServerBusy", "The server is currently unable to receive requests."))
        parts = urlsplit(url)
        path = unquote(parts.path).removeprefix(self._root).strip("/")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        data = body.encode() if isinstance(body, str) else body or b""
        try:
            if method == "POST" and path == "$batch":
                return self._transaction(headers, data)
            if method == "POST" and path == "Tables":
                return self._make(str(_object(data).get("TableName", "")))
            if method == "GET" and path.endswith("()"):
                return self._query(path[:-2], query)
            return self._upsert(method, path, data)
        except AzureError as error:
            return _refusal(error)

    def rows(self, table: str) -> list[Row]:
        """All rows of a table, in the order of their keys."""
        return [row for _, row in sorted(self.tables.get(table, {}).items())]

    def _make(self, name: str) -> Reply:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]{2,62}", name):
            raise AzureError(400, "InvalidResourceName", "The specified resource name contains invalid characters.")
        if name in self.tables:
            raise AzureError(409, "TableAlreadyExists", "The table specified already exists.")
        self.tables[name] = {}
        return Reply(201, json.dumps({"TableName": name}), {"Content-Type": _JSON})

    def _upsert(self, method: str, path: str, data: bytes) -> Reply:
        found = re.fullmatch(r"(\w+)\(PartitionKey='((?:[^']|'')*)',RowKey='((?:[^']|'')*)'\)", path)
        if found is None or method not in ("PUT", "PATCH"):
            raise AzureError(501, "NotImplemented", f"{method} {path} is not simulated.")
        name, key = found[1], (found[2].replace("''", "'"), found[3].replace("''", "'"))
        row = _object(data)
        if (row.get("PartitionKey", key[0]), row.get("RowKey", key[1])) != key:
            raise AzureError(400, "KeysMismatch", "The keys of the row are not those of its address.")
        if any(re.search(r"[/\\#?\x00-\x1f\x7f-\x9f]", part) for part in key):
            raise AzureError(400, "OutOfRangeInput", "One of the request inputs is out of range.")
        table = self._table(name)
        before = table.get(key, {}) if method == "PATCH" else {}
        table[key] = {**before, **row, "PartitionKey": key[0], "RowKey": key[1]}
        return Reply(204)

    def _table(self, name: str) -> dict[tuple[str, str], Row]:
        if name not in self.tables:
            raise AzureError(404, "TableNotFound", "The table specified does not exist.")
        return self.tables[name]

    # --------------------------------------------------------------------------------------------------- transactions

    def _transaction(self, headers: Mapping[str, str], data: bytes) -> Reply:
        """All rows or none. The answer has one part for each row, or one for the row that was refused."""
        requests = _requests_in(data)
        if len(requests) > MOST_IN_TRANSACTION:
            raise AzureError(400, "InvalidInput", "The batch request operation exceeds the maximum 100 changes.")
        before = {name: dict(rows) for name, rows in self.tables.items()}
        partitions = {re.sub(r",RowKey=.*", "", path) for _, path, _ in requests}
        replies = []
        try:
            if len(partitions) > 1 or len({path for _, path, _ in requests}) < len(requests):
                raise AzureError(400, "CommandsInBatchActOnDifferentPartitions", "All rows must be of one partition.")
            for method, path, body in requests:
                replies.append(self._upsert(method, path.removeprefix(self._root).strip("/"), body))
        except AzureError as error:
            self.tables = before
            replies = [_refusal(error)]
        return _multipart(replies)

    # -------------------------------------------------------------------------------------------------------- queries

    def _query(self, name: str, query: Mapping[str, str]) -> Reply:
        conditions = _conditions(query.get("$filter", ""))
        since = (query.get("NextPartitionKey", ""), query.get("NextRowKey", ""))
        top = min(int(query.get("$top", PAGE)), PAGE)
        found = [
            row
            for key, row in sorted(self._table(name).items())
            if key >= since and all(_holds(row.get(name), operator, value) for name, operator, value in conditions)
        ]
        headers = {"Content-Type": _JSON}
        if len(found) > top:
            headers["x-ms-continuation-NextPartitionKey"] = str(found[top]["PartitionKey"])
            headers["x-ms-continuation-NextRowKey"] = str(found[top]["RowKey"])
        rows = [{"odata.etag": "W/\"datetime'1'\"", **row} for row in found[:top]]
        return Reply(200, json.dumps({"value": rows}), headers)


def _requests_in(data: bytes) -> list[tuple[str, str, bytes]]:
    """The requests of a multipart body: method, path and body of each."""
    found = []
    for part in re.split(rb"--changeset_[\w-]+(?:--)?\r?\n", data):
        start = re.search(rb"(?m)^(PUT|PATCH|POST|DELETE) (\S+) HTTP/1\.1\r?\n", part)
        if start is None:
            continue
        _, _, body = part[start.end() :].replace(b"\r\n", b"\n").partition(b"\n\n")
        found.append((start[1].decode(), unquote(urlsplit(start[2].decode()).path), body.split(b"\n")[0]))
    return found


def _multipart(replies: list[Reply]) -> Reply:
    lines = ["--batchresponse_1", "Content-Type: multipart/mixed; boundary=changesetresponse_1", ""]
    for reply in replies:
        lines += ["--changesetresponse_1", "Content-Type: application/http", "Content-Transfer-Encoding: binary", ""]
        lines += [f"HTTP/1.1 {reply.status} Answered", *(f"{key}: {text}" for key, text in reply.headers.items())]
        lines += ["", reply.body]
    lines += ["--changesetresponse_1--", "--batchresponse_1--", ""]
    return Reply(202, "\r\n".join(lines), {"Content-Type": "multipart/mixed; boundary=batchresponse_1"})


def _refusal(error: AzureError) -> Reply:
    said = {"odata.error": {"code": error.code, "message": {"lang": "en-US", "value": error.message}}}
    return Reply(error.status, json.dumps(said), {"Content-Type": _JSON, "x-ms-error-code": error.code})


def _object(data: bytes) -> Json:
    try:
        read = json.loads(data or b"{}")
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise AzureError(400, "InvalidInput", "One of the request inputs is not valid.")
    return read


_CONDITION = re.compile(r"\(?(\w+) (eq|gt|ge|lt|le) '((?:[^']|'')*)'\)?(?: and |\Z)")


def _conditions(text: str) -> list[tuple[str, str, str]]:
    conditions, position = [], 0
    while position < len(text):
        found = _CONDITION.match(text, position)
        if found is None:
            raise AzureError(501, "NotImplemented", f"the filter {text!r} is not simulated.")
        conditions.append((found[1], found[2], found[3].replace("''", "'")))
        position = found.end()
    return conditions


def _holds(have: object, operator: str, want: str) -> bool:
    if not isinstance(have, str):
        return False
    return {"eq": have == want, "gt": have > want, "ge": have >= want, "lt": have < want, "le": have <= want}[operator]
