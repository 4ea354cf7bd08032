"""What single texts of a policy file must look like beyond their type: resource ids, names, zones, notices."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from zoneinfo import available_timezones

from msgspec import Struct

from rollout.model import definition_of, is_marketplace, version_number
from rollout.naming import MAX_NAME_LENGTH, MAX_PREFIX_LENGTH, MIN_DIGITS
from rollout.policy import (
    ActiveDirectoryJoin,
    ImagePolicy,
    NoticeText,
    PoolPolicy,
    QueryGate,
    RingPolicy,
    SchedulePolicy,
    SessionHostTemplate,
    SignInFailuresGate,
    SmokeTestGate,
    Window,
)
from rollout.policy_tree import meant, shorten
from rollout.query_gate import LONGEST_QUERY, known_names, unknown_names
from rollout.recurrence import UnreadableRecurrence, read_recurrence
from rollout.windows import UnreadableWindow, read_start, read_zone

Shape = Callable[[str], Iterator[str]]
"""Yields what is wrong with a text, nothing when it is right."""

LONGEST_SCRIPT = 4000
"""A rollout carries its policy from its start to its end."""

MAX_ID_LENGTH = 1000
"""Azure's own ids stay well below."""

_GROUP = r"/subscriptions/[^/\s]+/resourceGroups/[^/\s]+"

# Microsoft.Compute, OSProfile.adminUsername: "Disallowed values"; at most 20 characters on Windows, no final dot.
_REFUSED_ADMINS = frozenset(
    [
        *("administrator", "admin", "admin1", "admin2", "adm", "user", "user1", "user2", "user3", "user4", "user5"),
        *("test", "test1", "test2", "test3", "1", "123", "a", "actuser", "aspnet", "backup", "console", "david"),
        *("guest", "john", "owner", "root", "server", "sql", "support", "support_388945a0", "sys"),
    ]
)


def _resource_id(what: str, provider: str = "") -> Shape:
    """Ids of one type of resource, in any case as Azure compares them, and nothing after it."""
    types_and_names = provider.replace("{}", r"[^/\s]+")
    pattern = re.compile(_GROUP + types_and_names, re.IGNORECASE)
    example = "/subscriptions/…/resourceGroups/…" + provider.replace("{}", "…")

    def check(text: str) -> Iterator[str]:
        if len(text) > MAX_ID_LENGTH or not pattern.fullmatch(text):
            yield f"expected the id of {what}, {example}, got {shorten(text)}"

    return check


def _optional(shape: Shape) -> Shape:
    return lambda text: shape(text) if text else iter(())


def _pattern(pattern: str, expectation: str) -> Shape:
    def check(text: str) -> Iterator[str]:
        if not re.fullmatch(pattern, text):
            yield f"expected {expectation}, got {shorten(text)}"

    return check


def _one_of(*words: str) -> Shape:
    def check(text: str) -> Iterator[str]:
        if text and text not in words:
            yield f"expected one of {', '.join(words)}, got {shorten(text)}{meant(text, words)}"

    return check


def _definition_id(text: str) -> Iterator[str]:
    if len(text) > MAX_ID_LENGTH or re.search(r"\s", text) or is_marketplace(text) or not definition_of(text):
        yield (
            "expected the id of a gallery image definition, /subscriptions/…/resourceGroups/…/providers/"
            f"Microsoft.Compute/galleries/…/images/…, got {shorten(text)}"
        )
    elif version_number(text) is not None:
        yield (
            "names one image version: leave out /versions/…, because new versions of the definition are rolled out, "
            "or say version_id instead"
        )


def _version_id(text: str) -> Iterator[str]:
    if len(text) > MAX_ID_LENGTH or re.search(r"\s", text) or is_marketplace(text) or version_number(text) is None:
        yield (
            "expected the id of one gallery image version, /subscriptions/…/resourceGroups/…/providers/"
            f"Microsoft.Compute/galleries/…/images/…/versions/1.2.3, got {shorten(text)}"
        )


def _zone(text: str) -> Iterator[str]:
    try:
        read_zone(text)
    except UnreadableWindow as error:
        yield f"{error}{meant(text, _zones())}"
        return
    if text not in _zones():
        # Windows and macOS find a zone in any case, Linux, where Azure runs the app, does not.
        yield f"{shorten(text)} is not an IANA time zone as it is written{meant(text, _zones())}"


@lru_cache(maxsize=1)
def _zones() -> tuple[str, ...]:
    return tuple(sorted(available_timezones()))


def _recurrence(text: str) -> Iterator[str]:
    try:
        read_recurrence(text)
    except UnreadableRecurrence as error:
        yield f"{error}; expected a recurrence such as FREQ=WEEKLY;BYDAY=SA, got {shorten(text)}"


def _start(text: str) -> Iterator[str]:
    try:
        read_start(text)
    except UnreadableWindow as error:
        yield str(error)


def _notice(*placeholders: str) -> Shape:
    known = ", ".join(f"{{{name}}}" for name in placeholders)

    def check(text: str) -> Iterator[str]:
        if not text.strip():
            yield "must not be empty: people read it"
        for name in re.findall(r"\{([^{}]*)\}", text):
            if name not in placeholders:
                yield f"unknown placeholder {{{name[:40]}}}" + (meant(name, placeholders) or f"; there is {known}")
        if re.search(r"[{}]", re.sub(r"\{[^{}]*\}", "", text)):
            yield f"has a brace without its partner; placeholders are written {known}"

    return check


def _not_blank(what: str) -> Shape:
    return _pattern(r"(?s).*\S.*", what)


def _secret_url(text: str) -> Iterator[str]:
    if not re.fullmatch(r"https://[^/\s]+/secrets/[^/\s]+(/[^/\s]+)?", text):
        # What was written is not repeated: it may be the password itself.
        yield "expected the address of a Key Vault secret, https://….vault.azure.net/secrets/…"


def _admin(text: str) -> Iterator[str]:
    if not text or len(text) > 20 or text.endswith("."):
        yield "must have 1 to 20 characters and not end with a dot"
    elif text.lower() in _REFUSED_ADMINS:
        yield f"Azure refuses the name {shorten(text)} for an administrator"


def _script(text: str) -> Iterator[str]:
    if not text.strip():
        yield "must not be empty: without a script nothing is tested"
    elif len(text) > LONGEST_SCRIPT:
        yield f"has {len(text)} characters; at most {LONGEST_SCRIPT} are read, so let it fetch what is longer"


def _workspace(text: str) -> Iterator[str]:
    if not re.fullmatch(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", text):
        hint = ", not its resource id" if text.startswith("/") else ""
        yield (
            "expected the Workspace ID of a Log Analytics workspace, 00000000-0000-0000-0000-000000000000 (in the "
            f"portal on the workspace's overview){hint}, got {shorten(text)}"
        )


def _query(text: str) -> Iterator[str]:
    if not text.strip():
        yield "must not be empty: without a query there is no number"
    elif len(text) > LONGEST_QUERY:
        yield f"has {len(text)} characters; at most {LONGEST_QUERY} are read, so save what is longer as a function"
    for name in unknown_names(text):
        yield f"unknown name {shorten(name)}" + (meant(name, known_names()) or f"; there is {', '.join(known_names())}")


def _os_disk(text: str) -> Iterator[str]:
    if text.lower() == "ultrassd_lrs":
        yield "UltraSSD_LRS cannot be used for OS disks: use Premium_LRS or StandardSSD_LRS"


_SHORT_NAME = _pattern(
    r"[a-z0-9][a-z0-9-]{0,39}", "at most 40 lower-case letters, digits or hyphens, not beginning with a hyphen"
)
_NAME = _pattern(r"\S(.{0,78}\S)?", "a name of 1 to 80 characters")
_PREFIX = _pattern(
    rf"[A-Za-z][A-Za-z0-9-]{{0,{MAX_PREFIX_LENGTH - 1}}}",
    f"a letter and at most {MAX_PREFIX_LENGTH - 1} letters, digits or hyphens, because a hyphen and {MIN_DIGITS} "
    f"digits must fit into the {MAX_NAME_LENGTH} characters of a computer name",
)

SHAPES: dict[tuple[type[Struct], str], Shape] = {
    (ImagePolicy, "name"): _NAME,
    (ImagePolicy, "definition_id"): _definition_id,
    (ImagePolicy, "version_id"): _version_id,
    (PoolPolicy, "name"): _SHORT_NAME,
    (RingPolicy, "name"): _SHORT_NAME,
    (SmokeTestGate, "script"): _script,
    (QueryGate, "workspace_id"): _workspace,
    (QueryGate, "query"): _query,
    (SignInFailuresGate, "workspace_id"): _workspace,
    (PoolPolicy, "host_pool_id"): _resource_id(
        "a host pool", "/providers/Microsoft.DesktopVirtualization/hostPools/{}"
    ),
    (PoolPolicy, "zone"): _zone,
    (PoolPolicy, "finish_by"): _optional(_start),
    (SessionHostTemplate, "name_prefix"): _PREFIX,
    (SessionHostTemplate, "subnet_id"): _resource_id(
        "a subnet", "/providers/Microsoft.Network/virtualNetworks/{}/subnets/{}"
    ),
    (SessionHostTemplate, "resource_group_id"): _optional(_resource_id("a resource group")),
    (SessionHostTemplate, "security_type"): _one_of("Standard", "TrustedLaunch", "ConfidentialVM"),
    (SessionHostTemplate, "license_type"): _one_of("Windows_Client", "Windows_Server", "None"),
    (SessionHostTemplate, "os_disk_type"): _os_disk,
    (SessionHostTemplate, "admin_username"): _admin,
    (SessionHostTemplate, "agent_package_url"): _pattern(r"https://[^/\s]+/\S+", "an https:// address"),
    (ActiveDirectoryJoin, "domain"): _pattern(r"[^\s.]+(\.[^\s.]+)+", "the domain's DNS name such as corp.contoso.com"),
    (ActiveDirectoryJoin, "user"): _not_blank("the account that joins, such as svc-join@corp.contoso.com"),
    (ActiveDirectoryJoin, "password_secret_url"): _secret_url,
    (ActiveDirectoryJoin, "key_vault_id"): _resource_id("a key vault", "/providers/Microsoft.KeyVault/vaults/{}"),
    (SchedulePolicy, "zone"): _zone,
    (SchedulePolicy, "recurrence"): _optional(_recurrence),
    (SchedulePolicy, "start"): _start,
    (Window, "zone"): _zone,
    (Window, "recurrence"): _recurrence,
    (Window, "start"): _start,
    (NoticeText, "title"): _notice("deadline", "minutes", "pool"),
    (NoticeText, "body"): _notice("deadline", "minutes", "pool"),
    (NoticeText, "withdrawn_title"): _notice("pool"),
    (NoticeText, "withdrawn_body"): _notice("pool"),
}
"""By model and key."""
