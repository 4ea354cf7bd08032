"""Writes the custom roles of permissions.py: `python -m adapters.role_definitions infra/roles`.

A JSON file for each role, as `az role definition create --role-definition @file` takes it, and one Bicep module.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from adapters.permissions import ROLES, RoleName, actions_of

SCOPE_PLACEHOLDER = "/subscriptions/00000000-0000-0000-0000-000000000000"
"""Stands in the JSON for the subscription in which the role shall be assignable."""


def role_files() -> dict[str, str]:
    """The text of each file of infra/roles, by its name."""
    files = {f"{_file_name(role)}.json": _json(role) for role in ROLES}
    return {**files, "roles.bicep": _bicep()}


def _json(role: RoleName) -> str:
    body = {
        "Name": ROLES[role].title,
        "IsCustom": True,
        "Description": ROLES[role].description,
        "Actions": list(actions_of(role)),
        "NotActions": [],
        "DataActions": [],
        "NotDataActions": [],
        "AssignableScopes": [SCOPE_PLACEHOLDER],
    }
    return json.dumps(body, indent=2) + "\n"


def _bicep() -> str:
    parts = [_BICEP_HEAD]
    for role, about in ROLES.items():
        symbol = _symbol(role)
        actions = "\n".join(f"          '{action}'" for action in actions_of(role))
        parts.append(
            f"resource {symbol} 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {{\n"
            f"  name: guid(subscription().id, 'goldroll', '{role}')\n"
            "  properties: {\n"
            f"    roleName: '{about.title}${{suffix}}'\n"
            f"    description: '{about.description}'\n"
            "    type: 'CustomRole'\n"
            "    assignableScopes: [subscription().id]\n"
            "    permissions: [\n"
            "      {\n"
            f"        actions: [\n{actions}\n        ]\n"
            "        notActions: []\n"
            "        dataActions: []\n"
            "        notDataActions: []\n"
            "      }\n"
            "    ]\n"
            "  }\n"
            "}\n"
        )
    outputs = [
        f"@description('Assign at: {', '.join(about.scopes)}.')\noutput {_symbol(role)}Id string = {_symbol(role)}.id\n"
        for role, about in ROLES.items()
    ]
    return "\n".join([*parts, *outputs])


_BICEP_HEAD = """\
// The custom roles of Goldroll's identities. Written by `python -m adapters.role_definitions infra/roles`: do not edit.
// Deploy once in each subscription that a policy names: az deployment sub create --template-file roles.bicep
targetScope = 'subscription'

@description('Put behind the names of the roles, which must differ within a tenant when it has several subscriptions.')
param suffix string = ''
"""


def _symbol(role: RoleName) -> str:
    first, *rest = role.split("_")
    return first + "".join(word.capitalize() for word in rest) + "Role"


def _file_name(role: RoleName) -> str:
    return role.replace("_", "-")


def main(folder: str) -> None:
    """Write the files into a folder, which is made if need be."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    for name, text in role_files().items():
        (place / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
