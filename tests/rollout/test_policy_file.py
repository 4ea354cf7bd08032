"""The policy file: what it says, what it may not say, and how it says what is wrong."""

from __future__ import annotations

import copy
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from rollout.policy import (
    ActiveDirectoryJoin,
    DrainPolicy,
    EntraJoin,
    HealthPolicy,
    ImagePolicy,
    Policy,
    PoolPolicy,
    SessionHostTemplate,
    hosts_of,
)
from rollout.policy_file import PolicyError, Problem, read_policy
from rollout.policy_schema import policy_schema
from rollout.presets import PRESETS, PresetName, preset_values

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "goldroll.yaml").read_text(encoding="utf-8")
GROUP = "/subscriptions/5f3a/resourceGroups/rg-avd"
VERSION = f"{GROUP}/providers/Microsoft.Compute/galleries/gal/images/office/versions/1.2.3"
AD_JOIN = {
    "type": "active_directory",
    "domain": "corp.contoso.com",
    "user": "svc-join@corp.contoso.com",
    "password_secret_url": "https://kv-avd.vault.azure.net/secrets/join",
    "key_vault_id": f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv-avd",
}
WEEKEND = {"zone": "Europe/Zurich", "recurrence": "FREQ=WEEKLY;BYDAY=SA", "start": "06:00", "duration": "PT24H"}


def a_pool(name: str = "production", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "host_pool_id": f"{GROUP}/providers/Microsoft.DesktopVirtualization/hostPools/hp-{name}",
        "image": "office",
        "session_host": {
            "name_prefix": f"avd-{name[:3]}",
            "subnet_id": f"{GROUP}/providers/Microsoft.Network/virtualNetworks/vnet/subnets/hosts",
            "join": {"type": "entra"},
        },
        **changes,
    }


def a_file(*pools: dict[str, Any], **sections: Any) -> dict[str, Any]:
    image = {"name": "office", "definition_id": VERSION.removesuffix("/versions/1.2.3")}
    return {"images": [image], "host_pools": list(pools) or [a_pool()], **sections}


def changed(file: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The file with another value at "host_pools.0.drain.grace"; missing sections are made on the way."""
    file = copy.deepcopy(file)
    here: Any = file
    *parents, last = path.split(".")
    for key in parents:
        here = here[int(key)] if isinstance(here, list) else here.setdefault(key, {})
    here[int(last) if isinstance(here, list) else last] = value
    return file


def without(file: dict[str, Any], path: str) -> dict[str, Any]:
    file = copy.deepcopy(file)
    here: Any = file
    *parents, last = path.split(".")
    for key in parents:
        here = here[int(key)] if isinstance(here, list) else here[key]
    del here[last]
    return file


def read(file: dict[str, Any]) -> Policy:
    return read_policy(yaml.safe_dump(file, sort_keys=False))


def problems_in(file: dict[str, Any] | str) -> tuple[Problem, ...]:
    with pytest.raises(PolicyError) as caught:
        read_policy(file) if isinstance(file, str) else read(file)
    return caught.value.problems


def the_problem_in(file: dict[str, Any] | str) -> str:
    """The only problem, without its line."""
    (problem,) = problems_in(file)
    return str(problem._replace(line=0))


# --------------------------------------------------------------------------------------------------------- what it says


def test_the_example_in_the_repository_is_valid() -> None:
    policy = read_policy(EXAMPLE)
    assert [pool.name for pool in policy.host_pools] == ["validation", "production"]
    assert policy.host_pools[0].drain.grace == timedelta(minutes=30)
    assert policy.host_pools[1].windows[0].start == "20:00"


def test_the_example_shows_the_defaults_except_where_it_says_otherwise() -> None:
    production = read_policy(EXAMPLE).host_pools[1]
    shown = {name: getattr(production, name) for name in production.__struct_fields__}
    chosen = {"zone": "UTC", "scaling_exclusion_tag": "", "windows": ()}
    assert msgspec.convert({**msgspec.to_builtins(shown), **chosen}, PoolPolicy) == PoolPolicy(
        name=production.name,
        host_pool_id=production.host_pool_id,
        image=production.image,
        session_host=production.session_host,
    )
    assert read_policy(EXAMPLE).images[0] == ImagePolicy(
        name="office", definition_id=read_policy(EXAMPLE).images[0].definition_id
    )


def test_a_pool_that_says_only_what_it_must_gets_the_defaults_of_the_model() -> None:
    pool = read(a_file()).host_pools[0]
    assert pool.drain == DrainPolicy()
    assert pool.health == HealthPolicy()
    assert pool.session_host.join == EntraJoin()


def test_a_pools_own_keys_win_over_the_defaults_key_by_key() -> None:
    file = a_file(
        a_pool(drain={"grace": "PT2H"}),
        a_pool("validation"),
        defaults={"zone": "Europe/Zurich", "drain": {"grace": "PT4H", "on_timeout": "skip"}},
    )
    production, validation = read(file).host_pools
    assert (production.drain.grace, production.drain.on_timeout) == (timedelta(hours=2), "skip")
    assert (validation.drain.grace, validation.drain.on_timeout) == (timedelta(hours=4), "skip")
    assert production.zone == validation.zone == "Europe/Zurich"


def test_lists_replace_the_default_as_a_whole() -> None:
    file = a_file(
        a_pool(windows=[WEEKEND]), defaults={"windows": [WEEKEND, {**WEEKEND, "recurrence": "FREQ=WEEKLY;BYDAY=SU"}]}
    )
    assert len(read(file).host_pools[0].windows) == 1


def test_required_keys_may_stand_in_the_defaults() -> None:
    pool = a_pool()
    template = pool.pop("session_host")
    prefix = template.pop("name_prefix")
    file = a_file({**pool, "session_host": {"name_prefix": prefix}}, defaults={"session_host": template})
    assert read(file).host_pools[0].session_host.join == EntraJoin()


def test_a_join_of_another_type_replaces_the_default_join() -> None:
    pool = changed(a_pool(), "session_host.join", AD_JOIN)
    file = a_file(pool, defaults={"session_host": {"join": {"type": "entra", "intune": True}}})
    assert isinstance(read(file).host_pools[0].session_host.join, ActiveDirectoryJoin)


def test_a_join_without_a_type_completes_the_default_join() -> None:
    pool = changed(a_pool(), "session_host.join", {"organizational_unit": "OU=avd,DC=corp"})
    join = read(a_file(pool, defaults={"session_host": {"join": AD_JOIN}})).host_pools[0].session_host.join
    assert isinstance(join, ActiveDirectoryJoin)
    assert (join.domain, join.organizational_unit) == ("corp.contoso.com", "OU=avd,DC=corp")


def test_anchors_stand_for_whole_values() -> None:
    text = yaml.safe_dump(a_file()) + "defaults:\n  windows: &weekend\n  - " + json.dumps(WEEKEND) + "\n"
    text = text.replace("  image: office\n", "  image: office\n  windows: *later\n")
    text = text.replace("defaults:", "", 1) if text.count("defaults:") > 1 else text
    first = "defaults:\n  windows: &later [" + json.dumps(WEEKEND) + "]\n"
    assert len(read_policy(first + text[: text.index("defaults:")]).host_pools[0].windows) == 1


def test_times_and_words_are_text_as_yaml_1_2_reads_them() -> None:
    """YAML 1.1 would read 22:00 as 1320 and no as false."""
    window = "{zone: Europe/Zurich, recurrence: FREQ=DAILY, start: 22:00, duration: PT20H}"
    text = yaml.safe_dump(a_file()) + f"defaults: {{windows: [{window}], session_host: {{tags: {{country: no}}}}}}\n"
    pool = read_policy(text).host_pools[0]
    assert pool.windows[0].start == "22:00"
    assert pool.session_host.tags == {"country": "no"}


@pytest.mark.parametrize(
    ("amount", "pool_size", "hosts"), [("5%", 12, 1), ("25%", 10, 3), ("0%", 10, 1), (4, 10, 4), ("100%", 7, 7)]
)
def test_amounts_are_rounded_up_and_at_least_one_host(amount: int | str, pool_size: int, hosts: int) -> None:
    assert hosts_of(amount, pool_size) == hosts


# ----------------------------------------------------------------------------------------------------- how it says it


def test_every_problem_is_reported_at_once_with_path_and_line() -> None:
    text = EXAMPLE.replace("#surge: 5%", "sruge: 5%").replace("grace: PT30M", "grace: 30m")
    text = text.replace("recurrence: FREQ=WEEKLY;BYDAY=FR", "recurrence: fridays")
    problems = problems_in(text)
    assert [problem.path for problem in problems] == [
        "defaults.sruge",
        "host_pools[0].drain.grace",
        "host_pools[1].windows[0].recurrence",
    ]
    lines = text.splitlines()
    assert "sruge" in lines[problems[0].line - 1]
    assert "30m" in lines[problems[1].line - 1]
    assert "fridays" in lines[problems[2].line - 1]


def test_the_error_text_names_the_path_the_expectation_and_what_was_found() -> None:
    with pytest.raises(PolicyError) as caught:
        read(a_file(a_pool(drain={"grace": "30m"})))
    assert "1 problem" in str(caught.value)
    assert "host_pools[0].drain.grace: expected a duration such as PT30M, got '30m': write PT30M" in str(caught.value)


def test_a_wrong_default_is_reported_once_where_it_stands() -> None:
    file = a_file(a_pool(), a_pool("validation"), defaults={"drain": {"grace": "soon"}})
    assert the_problem_in(file) == "defaults.drain.grace: expected a duration such as PT30M, got 'soon'"


def test_a_wrong_default_is_reported_even_where_every_pool_says_otherwise() -> None:
    file = a_file(a_pool(zone="UTC"), defaults={"zone": "Europe/Zuerich"})
    assert the_problem_in(file).startswith("defaults.zone: ")


def test_a_conflict_with_a_default_is_reported_at_the_key_that_conflicts() -> None:
    file = a_file(a_pool(drain={"grace": "PT20M"}), defaults={"drain": {"reminders": ["PT30M"]}})
    assert the_problem_in(file).startswith("defaults.drain.reminders[0]: PT30M before the deadline")


def test_a_conflict_with_a_value_that_nobody_wrote_is_reported_at_the_pool() -> None:
    assert the_problem_in(a_file(a_pool(health={"ready_within": "PT5M"}))).startswith("host_pools[0].health.settle: ")


def test_values_that_are_wrong_themselves_do_not_conflict_as_well() -> None:
    file = a_file(a_pool(drain={"grace": "1h", "reminders": ["PT9H"]}))
    assert the_problem_in(file).startswith("host_pools[0].drain.grace: ")


def test_a_wrong_value_does_not_hide_a_conflict_between_others() -> None:
    file = a_file(a_pool(drain={"grace": "PT1H", "reminders": ["PT2H"]}, reserve="much"))
    assert {problem.path for problem in problems_in(file)} == {
        "host_pools[0].drain.reminders[0]",
        "host_pools[0].reserve",
    }


def test_a_long_list_of_problems_is_cut_in_the_text_but_not_in_the_error() -> None:
    file = a_file(*(a_pool(f"pool-{index}", sruge=1) for index in range(80)))
    with pytest.raises(PolicyError) as caught:
        read(file)
    assert len(caught.value.problems) >= 80
    assert "more" in str(caught.value).splitlines()[-1]


# ------------------------------------------------------------------------------------------------------ single values

POOL = "host_pools.0"
TEMPLATE = "host_pools.0.session_host"

SINGLE_VALUES = [
    # durations
    (f"{POOL}.drain.grace", "30m", "expected a duration such as PT30M, got '30m': write PT30M"),
    (f"{POOL}.drain.grace", "2 days", "got '2 days': write P2D"),
    (f"{POOL}.drain.grace", "P1W", "weeks, months and years cannot be used"),
    (f"{POOL}.drain.grace", 30, "expected a duration such as PT30M, got 30"),
    (f"{POOL}.drain.grace", None, "got nothing: remove the key or give it a value"),
    (f"{POOL}.drain.grace", "PT0S", "must be longer than nothing, got 'PT0S'"),
    (f"{POOL}.drain.grace", "-PT5M", "must not be negative, got '-PT5M'"),
    (f"{POOL}.drain.grace", "P999D", "must not be longer than P366D"),
    (f"{POOL}.drain.grace", "P99999999999999999999D", "expected a duration"),
    (f"{POOL}.drain.reminders", "PT5M", "expected a list, got 'PT5M'"),
    (f"{POOL}.drain.reminders", ["PT5M", "5m"], "[1]: expected a duration such as PT30M, got '5m'"),
    (f"{POOL}.drain.reminders", ["PT0S"], "[0]: must be longer than nothing"),
    (f"{POOL}.canary.bake", "-PT1M", "must not be negative"),
    (f"{POOL}.finish_within", "36h", "expected a duration such as PT30M, got '36h': write PT36H"),
    (f"{POOL}.finish_within", "PT0S", "must be longer than nothing, got 'PT0S'"),
    (f"{POOL}.finish_by", "6:00", "expected a time of day such as 22:00, got '6:00'"),
    ("images.0.replication.deadline", "PT0S", "must be longer than nothing"),
    # amounts and numbers
    (f"{POOL}.surge", "5 %", "or a percentage such as 25%, got '5 %': write 5%"),
    (f"{POOL}.surge", "105%", "got '105%': a percentage is at most 100%"),
    (f"{POOL}.surge", "3", "got '3': write 3"),
    (f"{POOL}.surge", -1, "expected a number of hosts such as 3"),
    (f"{POOL}.surge", 2.5, "expected a number of hosts such as 3"),
    (f"{POOL}.surge", True, "got true"),
    (f"{POOL}.reserve", "15%", "expected a whole number of percent from 0 to 100, got '15%': write 15"),
    (f"{POOL}.reserve", 101, "from 0 to 100, got 101"),
    (f"{POOL}.canary.hosts", 0, "expected a whole number, at least 1, got 0"),
    (f"{POOL}.health.max_failed_hosts", -1, "expected a whole number, at least 0, got -1"),
    # words
    (f"{POOL}.strategy", "in-place", "expected one of surge, in_place, got 'in-place', did you mean 'in_place'?"),
    (f"{POOL}.drain.on_timeout", 5, "expected one of sign_out, wait, skip, got 5"),
    (f"{POOL}.drain.sign_out_in_window_only", "yes", "expected true or false, got 'yes': write true"),
    (f"{POOL}.zone", "Europe/Zuerich", "is not an IANA time zone such as Europe/Zurich, did you mean 'Europe/Zurich'?"),
    (f"{POOL}.zone", "europe/zurich", "did you mean 'Europe/Zurich'?"),
    (f"{POOL}.name", "Production Pool", "lower-case letters, digits or hyphens"),
    # structure
    (f"{POOL}.drain", None, "expected keys and values, got nothing"),
    (f"{POOL}.drain", ["PT5M"], "expected keys and values, got a list"),
    (f"{POOL}.sruge", 1, "unknown key, did you mean 'surge'?"),
    (f"{POOL}.quux", 1, "unknown key; there are canary, drain"),
    (f"{POOL}.drain.notice.titel", "x", "unknown key, did you mean 'title'?"),
    (f"{POOL}.windows", WEEKEND, "expected a list, got keys and values"),
    (f"{POOL}.windows", None, "expected a list, got nothing"),
    ("images", [], "expected a list with at least one of the images"),
    ("images", "office", "expected a list with at least one of the images"),
    ("images.0.definition", "x", "unknown key, did you mean 'definition_id'?"),
    ("default", {}, "unknown key, did you mean 'defaults'?"),
    ("defaults", [], "expected keys and values, got a list"),
    # ids
    ("images.0.definition_id", "office", "expected the id of a gallery image definition, /subscriptions/"),
    ("images.0.definition_id", VERSION, "leave out /versions/"),
    ("images.0.definition_id", VERSION.replace("/versions/1.2.3", "/versions/latest"), "expected the id of a gallery"),
    ("images.0.definition_id", VERSION.removesuffix("1.2.3") + "1.2." + "9" * 5000, "expected the id of a gallery"),
    ("images.0.definition_id", VERSION.removesuffix("/versions/1.2.3") + "\n", "expected the id of a gallery"),
    (f"{POOL}.host_pool_id", "hp-prd", "expected the id of a host pool, /subscriptions/"),
    (
        f"{POOL}.host_pool_id",
        f"{GROUP}/providers/Microsoft.Compute/virtualMachines/vm",
        "expected the id of a host pool",
    ),
    (f"{TEMPLATE}.subnet_id", f"{GROUP}/providers/Microsoft.Network/virtualNetworks/vnet", "the id of a subnet"),
    (f"{TEMPLATE}.resource_group_id", "rg-avd", "the id of a resource group"),
    (f"{POOL}.image", "offcie", "no image is named 'offcie', did you mean 'office'?"),
    (f"{POOL}.image", "kiosk", "no image is named 'kiosk'; there is 'office'"),
    # session hosts
    (f"{TEMPLATE}.name_prefix", "avd-production", "3 digits must fit into the 15 characters of a computer name"),
    (f"{TEMPLATE}.name_prefix", "1avd", "expected a letter and at most 10 letters"),
    (f"{TEMPLATE}.security_type", "Trusted", "expected one of Standard, TrustedLaunch, ConfidentialVM, got 'Trusted'"),
    (f"{TEMPLATE}.license_type", "WindowsClient", "did you mean 'Windows_Client'?"),
    (f"{TEMPLATE}.os_disk_type", "UltraSSD_LRS", "cannot be used for OS disks"),
    (f"{TEMPLATE}.ephemeral_placement", "Cache", "expected one of '', CacheDisk, ResourceDisk, NvmeDisk, got 'Cache'"),
    (f"{TEMPLATE}.admin_username", "Administrator", "Azure refuses the name 'Administrator'"),
    (f"{TEMPLATE}.admin_username", "a-name-that-is-far-too-long", "must have 1 to 20 characters"),
    (f"{TEMPLATE}.agent_package_url", "http://example.com/a.zip", "expected an https:// address"),
    (f"{TEMPLATE}.tags", {"cost centre": 12}, "['cost centre']: expected text, got 12: put it in quotes"),
    # joins
    (f"{TEMPLATE}.join", {}, "join.type: is missing: one of entra, active_directory"),
    (f"{TEMPLATE}.join", {"type": "azure"}, "join.type: expected one of entra, active_directory, got 'azure'"),
    (f"{TEMPLATE}.join", {"type": "entra", "domain": "x"}, "join.domain: unknown key"),
    (f"{TEMPLATE}.join", {**AD_JOIN, "domain": "CORP"}, "the domain's DNS name such as corp.contoso.com"),
    (f"{TEMPLATE}.join", {**AD_JOIN, "user": " "}, "expected the account that joins"),
    (f"{TEMPLATE}.join", {**AD_JOIN, "password_secret_url": "hunter2"}, "expected the address of a Key Vault secret"),
    (f"{TEMPLATE}.join", {**AD_JOIN, "key_vault_id": "kv-avd"}, "expected the id of a key vault"),
    (
        f"{TEMPLATE}.join",
        {**AD_JOIN, "key_vault_id": f"{GROUP}/providers/Microsoft.KeyVault/vaults/other"},
        "the secret is in kv-avd.vault.azure.net, but key_vault_id names the vault other",
    ),
    # notices
    (f"{POOL}.drain.notice.body", "Leave before {deadlin}", "unknown placeholder {deadlin}, did you mean 'deadline'?"),
    (
        f"{POOL}.drain.notice.body",
        "Leave, {user}",
        "unknown placeholder {user}; there is {deadline}, {minutes}, {pool}",
    ),
    (f"{POOL}.drain.notice.body", "Leave before {deadline", "a brace without its partner"),
    (f"{POOL}.drain.notice.title", " ", "must not be empty"),
    (f"{POOL}.drain.notice.withdrawn_body", "Until {deadline}", "unknown placeholder {deadline}; there is {pool}"),
    # windows
    (f"{POOL}.windows", [{**WEEKEND, "recurrence": "FREQ=HOURLY"}], "[0].recurrence: FREQ must be one of DAILY"),
    (f"{POOL}.windows", [{**WEEKEND, "recurrence": "FREQ=WEEKLY"}], "[0].recurrence: FREQ=WEEKLY needs BYDAY"),
    (f"{POOL}.windows", [{**WEEKEND, "start": "24:00"}], "[0].start: expected"),
    (f"{POOL}.windows", [{**WEEKEND, "start": 2200}], "[0].start: expected"),
    (f"{POOL}.windows", [{**WEEKEND, "duration": "PT0S"}], "[0].duration: must be longer than nothing"),
    (f"{POOL}.windows", [{**WEEKEND, "zone": "Mars/Base"}], "[0].zone: 'Mars/Base' is not an IANA time zone"),
    (f"{POOL}.windows", [{"zone": "UTC"}] * 51, "has 51 elements; at most 50 are read"),
]


@pytest.mark.parametrize(("path", "value", "message"), SINGLE_VALUES)
def test_a_wrong_value_is_named_with_what_to_write_instead(path: str, value: object, message: str) -> None:
    problems = problems_in(changed(a_file(), path, value))
    key = path.replace(".0", "[0]")
    assert any(str(problem).startswith(key) and message in str(problem) for problem in problems), problems
    assert len(problems) == 1 or isinstance(value, list) or path == "images"


@pytest.mark.parametrize(
    "path",
    [
        *("images", "host_pools", "images.0.name", f"{POOL}.name", f"{POOL}.host_pool_id"),
        *(f"{POOL}.image", f"{POOL}.session_host", f"{TEMPLATE}.name_prefix", f"{TEMPLATE}.join"),
    ],
)
def test_a_missing_key_is_named(path: str) -> None:
    problems = problems_in(without(a_file(), path))
    assert str(problems[0]._replace(line=0)) == f"{path.replace('.0', '[0]')}: is missing"


# -------------------------------------------------------------------------------------------- values that do not fit

CONFLICTS = [
    ({"max_creating": 0}, "max_creating: must allow at least one host"),
    ({"finish_by": "06:00", "finish_within": "PT24H"}, "finish_by: only one of finish_by and finish_within"),
    ({"surge": 0}, "surge: must allow at least one extra host with strategy surge"),
    ({"surge": "0%"}, "surge: must allow at least one extra host"),
    ({"max_wave": 0}, "max_wave: must allow at least one host"),
    ({"reserve": 100}, "reserve: must be below 100"),
    ({"drain": {"grace": "PT30M", "reminders": ["PT15M", "PT45M"]}}, "drain.reminders[1]: PT45M before the deadline"),
    ({"drain": {"grace": "PT10M", "disconnected_grace": "PT20M"}}, "drain.disconnected_grace: must not be longer than"),
    ({"health": {"settle": "PT45M"}}, "health.settle: must be shorter than ready_within (PT45M)"),
    (
        {"windows": [{**WEEKEND, "duration": "PT8H"}]},
        "that takes PT8H of grace and PT10M to remove it, and the windows are open for PT8H at most",
    ),
    (
        {"windows": [{**WEEKEND, "duration": "PT8H30M"}], "strategy": "in_place"},
        "PT8H of grace and PT10M to remove it and PT25M to provision its successor",
    ),
    (
        {"windows": [{**WEEKEND, "duration": "PT20M"}], "drain": {"on_timeout": "wait"}},
        "windows: no host could ever be provisioned: that takes PT25M",
    ),
    (
        {"windows": [{**WEEKEND, "duration": "PT5M"}], "drain": {"on_timeout": "wait"}, "strategy": "in_place"},
        "windows: no host with people could ever be started: that takes PT10M to remove it and PT25M",
    ),
]


@pytest.mark.parametrize(("changes", "message"), CONFLICTS)
def test_values_that_could_never_work_together_are_refused(changes: dict[str, Any], message: str) -> None:
    problems = problems_in(a_file(a_pool(**changes)))
    assert any(str(problem).startswith("host_pools[0].") and message in str(problem) for problem in problems), problems


@pytest.mark.parametrize(
    "changes",
    [
        {"surge": 0, "strategy": "in_place"},
        {"max_unavailable": 0},
        {"max_unavailable": 0, "strategy": "in_place"},  # at least one is missing in place, whatever it says
        {"drain": {"grace": "PT4M"}},  # the default reminders and disconnected_grace do not fit, and do no harm
        {"drain": {"grace": "PT30M", "reminders": ["PT30M"]}},
        {"drain": {"disconnected_grace": "PT0S"}, "canary": {"bake": "PT0S"}, "health": {"settle": "PT0S"}},
        {"windows": [{**WEEKEND, "duration": "PT8H10M"}]},
        {"windows": [{**WEEKEND, "duration": "PT25M"}], "drain": {"on_timeout": "wait"}},
        {"windows": [{**WEEKEND, "duration": "PT5H"}, {**WEEKEND, "start": "10:00", "duration": "PT5H"}]},
        {"windows": [{**WEEKEND, "recurrence": "FREQ=DAILY", "duration": "PT24H", "zone": "UTC"}]},
        {"session_host": {**a_pool()["session_host"], "join": AD_JOIN}},
    ],
)
def test_values_that_work_together_are_accepted(changes: dict[str, Any]) -> None:
    assert len(read(a_file(a_pool(**changes))).host_pools) == 1


def test_a_password_in_the_wrong_place_is_not_repeated() -> None:
    problem = the_problem_in(changed(a_file(), f"{TEMPLATE}.join", {**AD_JOIN, "password_secret_url": "hunter2"}))
    assert "hunter2" not in problem


def test_two_pools_of_one_name_are_refused() -> None:
    second = {**a_pool("validation"), "name": "production"}
    assert the_problem_in(a_file(a_pool(), second)) == (
        "host_pools[1].name: 'production' is also that of host_pools[0]: two host pools need two names"
    )


def test_one_host_pool_under_two_names_is_refused_in_any_case() -> None:
    second = {**a_pool("validation"), "host_pool_id": a_pool()["host_pool_id"].upper()}
    assert "host_pools[1].host_pool_id: " in the_problem_in(a_file(a_pool(), second))


def test_two_pools_with_one_name_prefix_are_refused_because_their_hosts_could_get_one_name() -> None:
    second = changed(a_pool("validation"), "session_host.name_prefix", "AVD-pro-")
    assert "two rollouts at once could give two hosts one name" in the_problem_in(a_file(a_pool(), second))


def test_two_images_of_one_definition_are_refused() -> None:
    file = a_file()
    file["images"].append({**file["images"][0], "name": "other"})
    assert the_problem_in(file).startswith("images[1].definition_id: ")


# ---------------------------------------------------------------------------------------------------------- presets


def test_a_preset_is_weaker_than_any_key_of_the_file_and_stronger_than_the_defaults_of_the_model() -> None:
    file = a_file(a_pool(preset="fast", surge=3, drain={"on_timeout": "wait"}), defaults={"drain": {"grace": "PT2H"}})
    pool = read(file).host_pools[0]
    assert pool.surge == 3  # the pool's own key
    assert pool.drain.grace == timedelta(hours=2)  # a key of the defaults
    assert (pool.max_unavailable, pool.canary.bake) == ("10%", timedelta(minutes=10))  # the preset's
    assert (pool.drain.on_timeout, pool.max_wave, pool.canary.hosts) == ("wait", "50%", 1)
    assert pool.preset == "fast"


def test_a_preset_in_the_defaults_is_that_of_the_pools_that_name_none() -> None:
    file = a_file(
        a_pool(), a_pool("validation", preset="fast"), a_pool("kiosk", preset=""), defaults={"preset": "overnight"}
    )
    production, validation, kiosk = read(file).host_pools
    assert (production.finish_by, production.max_unavailable) == ("06:00", "5%")
    assert (validation.finish_by, validation.max_unavailable) == ("", "10%")
    assert (kiosk.finish_by, kiosk.max_unavailable) == ("", 0)


def test_a_preset_shares_no_values_between_pools() -> None:
    file = a_file(a_pool(drain={"on_timeout": "skip"}), a_pool("validation"), defaults={"preset": "fast"})
    assert [pool.drain.on_timeout for pool in read(file).host_pools] == ["skip", "sign_out"]
    preset_values("fast")["drain"]["grace"] = "PT9H"
    assert preset_values("fast")["drain"]["grace"] == "PT1H"


@pytest.mark.parametrize("where", ["host_pools.0", "defaults"])
def test_the_time_that_the_file_says_replaces_the_presets_whichever_way_it_is_said(where: str) -> None:
    gentle = changed(a_file(a_pool(preset="gentle")), f"{where}.finish_by", "05:00")
    overnight = changed(a_file(a_pool(preset="overnight")), f"{where}.finish_within", "PT20H")
    assert (read(gentle).host_pools[0].finish_by, read(gentle).host_pools[0].finish_within) == ("05:00", None)
    assert read(overnight).host_pools[0].finish_within == timedelta(hours=20)
    assert read(overnight).host_pools[0].finish_by == ""


def test_a_pool_may_refuse_the_time_of_its_preset() -> None:
    assert read(a_file(a_pool(preset="gentle", finish_within=None))).host_pools[0].finish_within is None
    assert read(a_file(a_pool(preset="overnight", finish_by=""))).host_pools[0].finish_by == ""


def test_an_unknown_preset_is_named_with_the_one_that_was_meant() -> None:
    assert the_problem_in(a_file(a_pool(preset="over-night"))) == (
        "host_pools[0].preset: expected one of '', gentle, overnight, fast, in_place_minimal, got 'over-night', "
        "did you mean 'overnight'?"
    )


def test_an_unknown_preset_of_the_defaults_is_reported_once() -> None:
    file = a_file(a_pool(), a_pool("validation"), defaults={"preset": "quick"})
    assert the_problem_in(file).startswith("defaults.preset: expected one of '', gentle")


@pytest.mark.parametrize("value", [None, 1, ["fast"], {"name": "fast"}])
def test_a_preset_that_is_no_word_is_refused(value: object) -> None:
    assert the_problem_in(a_file(a_pool(preset=value))).startswith("host_pools[0].preset: expected one of")


def test_a_conflict_that_a_preset_causes_is_reported_where_the_preset_is_named() -> None:
    text = yaml.safe_dump(a_file(a_pool(), a_pool("validation", drain={"grace": "PT30M"})))
    text += "defaults:\n  preset: gentle\n"
    (problem,) = problems_in(text)
    assert problem.path == "defaults.preset"
    assert problem.line == len(text.splitlines())
    assert problem.message == (
        "drain.disconnected_grace of preset gentle must not be longer than grace (PT30M), which ends every session; "
        "see host_pools[1].drain.grace"
    )


def test_a_conflict_with_a_value_of_a_preset_says_where_that_comes_from() -> None:
    problem = the_problem_in(a_file(a_pool(preset="fast", drain={"reminders": ["PT2H"]})))
    assert problem.startswith("host_pools[0].drain.reminders[0]: PT2H before the deadline")
    assert problem.endswith("; drain.grace comes from preset fast")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("windows", [[], [WEEKEND], [{**WEEKEND, "recurrence": "FREQ=DAILY", "duration": "PT10H"}]])
def test_every_preset_can_be_used_as_it_is(preset: str, windows: list[dict[str, str]]) -> None:
    pool = read(a_file(a_pool(preset=preset, windows=windows))).host_pools[0]
    wanted = read(a_file(a_pool(**preset_values(preset), windows=windows))).host_pools[0]
    assert structs.replace(pool, preset="") == wanted


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_takes_effect_in_the_example_when_it_is_named_there(preset: str) -> None:
    text = EXAMPLE.replace('preset: "" # none', f"preset: {preset}")
    production, plain = read_policy(text).host_pools[1], read_policy(EXAMPLE).host_pools[1]
    wanted = changed(msgspec.to_builtins(plain), "preset", preset)
    for key, value in preset_values(preset).items():
        if isinstance(value, dict):
            for below, inner in value.items():
                wanted = changed(wanted, f"{key}.{below}", inner)
        else:
            wanted = changed(wanted, key, value)
    assert production == msgspec.convert(wanted, PoolPolicy)
    assert production != plain


def test_the_names_of_the_presets_are_those_that_the_policy_takes() -> None:
    assert get_args(PresetName) == ("", *PRESETS)
    assert preset_values("") == preset_values("quick") == {}


def test_the_example_and_the_concepts_show_what_each_preset_sets() -> None:
    concepts = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
    for name, preset in PRESETS.items():
        row = next(line for line in concepts.splitlines() if line.startswith(f"| `{name}` |"))
        lines = EXAMPLE.splitlines()
        shown = next(line for line in lines if re.match(rf"  # +{name}  ", line))
        assert preset.purpose in EXAMPLE
        for key, value in preset.values.items():
            for path, leaf in (
                {f"{key}.{k}": v for k, v in value.items()}.items() if isinstance(value, dict) else [(key, value)]
            ):
                quoted = f'"{leaf}"' if ":" in str(leaf) else leaf
                assert f"`{path}` {quoted}" in row
                assert f"{path} {quoted}" in shown


# ------------------------------------------------------------------------------------------------- what is no policy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file: is empty"),
        ("# only a comment\n", "the file: is empty"),
        ("- a list\n", "the file: must hold the keys images, host_pools"),
        ("just text", "the file: must hold the keys images, host_pools"),
        ("images: [", "is no readable YAML: while parsing a flow node"),
        ("images:\n\t- tab", "is no readable YAML"),
        ("\x00\x01\x02", "is no YAML text"),
        ("PK\x03\x04\x14\x00", "is no YAML text"),
        ("\ud800", "is no YAML text"),
        ('a: "\\U0011FFFF"', "is no YAML text"),
        ("a: 1\n---\nb: 2\n", "but found another document"),
        ("images: !!python/object/apply:os.getcwd []", "the YAML tag 'tag:yaml.org,2002:python/object/apply"),
        ("[" * 100_000, "nested too deeply"),
        ("- " * 100_000, "nested too deeply"),
        ("a: &a [*a]", "nested too deeply once its anchors are followed"),
        ("a: " + "x" * 300_000, "is larger than 256 kB"),
        ("a: *nobody", "found undefined alias"),
    ],
)
def test_what_is_no_policy_at_all_is_one_clear_problem(text: str, message: str) -> None:
    assert message in the_problem_in(text)


def test_a_billion_laughs_are_not_counted() -> None:
    lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "too large" in the_problem_in("\n".join(lines))


def test_a_key_given_twice_is_refused_because_one_of_them_would_be_lost() -> None:
    text = yaml.safe_dump(a_file()) + "defaults:\n  zone: UTC\n  zone: Europe/Zurich\n"
    (problem,) = problems_in(text)
    assert problem.path == "defaults.zone"
    assert problem.line == len(text.splitlines())
    assert problem.message == f"is given twice, first in line {problem.line - 1}"


def test_merge_keys_are_refused_with_the_way_out() -> None:
    text = yaml.safe_dump(a_file()) + "defaults:\n  canary: &canary {hosts: 2}\n  drain: {<<: *canary}\n"
    assert "put what host pools share under defaults" in the_problem_in(text)


def test_a_list_as_a_key_is_refused() -> None:
    assert "a key must be text" in problems_in("[a, b]: c")[-1].message


@given(st.one_of(st.text(), st.text(alphabet="abc:-[]{}&*!|>'\"%@`#,? \n\t01", max_size=200)))
def test_no_text_ever_raises_anything_else(text: str) -> None:
    with pytest.raises(PolicyError):
        read_policy(text)


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
KEYS = sorted(
    {f"{POOL}.{field.name}" for field in structs.fields(PoolPolicy)}
    | {f"{TEMPLATE}.{field.name}" for field in structs.fields(SessionHostTemplate)}
    | {f"{POOL}.drain.{field.name}" for field in structs.fields(DrainPolicy)}
    | {f"{POOL}.health.{field.name}" for field in structs.fields(HealthPolicy)}
    | {f"{POOL}.windows.0.{key}" for key in WEEKEND}
    | {"images", "host_pools", "defaults", "images.0", POOL, "defaults.drain", "defaults.session_host"}
)


@given(path=st.sampled_from(KEYS), value=values)
def test_no_value_anywhere_ever_raises_anything_else(path: str, value: object) -> None:
    file = a_file(a_pool(windows=[dict(WEEKEND)]), defaults={"zone": "UTC"})
    found: tuple[Problem, ...] = ()
    try:
        policy: Policy | None = read(changed(file, path, value))
    except PolicyError as error:
        policy = None
        found = error.problems
    assert found if policy is None else msgspec.convert(msgspec.to_builtins(policy), Policy) == policy


# --------------------------------------------------------------------------------------------------------- the schema


def test_the_published_schema_is_up_to_date() -> None:
    published = json.loads((ROOT / "goldroll.schema.json").read_text(encoding="utf-8"))
    assert published == policy_schema(), "run: python -m rollout.policy_schema > goldroll.schema.json"


def test_the_example_names_the_schema_in_its_first_line() -> None:
    assert EXAMPLE.splitlines()[0] == "# yaml-language-server: $schema=./goldroll.schema.json"


def test_every_key_is_explained_in_the_schema() -> None:
    definitions = policy_schema()["$defs"]
    unexplained = [
        f"{name}.{key}"
        for name, definition in definitions.items()
        for key, schema in definition["properties"].items()
        if not schema.get("description")
    ]
    assert unexplained == []


def test_the_schema_asks_a_pool_only_for_what_the_defaults_do_not_say() -> None:
    schema = policy_schema()
    assert "required" not in schema["$defs"]["PoolPolicy"]
    assert {
        "if": {"not": {"required": ["defaults"], "properties": {"defaults": {"required": ["image"]}}}},
        "then": {"properties": {"host_pools": {"items": {"required": ["image"]}}}},
    } in schema["allOf"]
