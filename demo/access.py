"""The app's roles in the simulated Azure: those of infra/roles, assigned where docs/security.md says."""

from __future__ import annotations

from collections.abc import Collection

from adapters.permissions import ROLES, RoleName, actions_of, options_of, scopes_of
from rollout.policy import Policy
from simulator.access import Access, Assignment

OPTIONAL: dict[RoleName, str] = {"images": "images", "key_vault": "key_vault"}
"""Roles that are assigned only when the policy makes use of an option."""


def least_privilege(policy: Policy, *, with_roles: Collection[RoleName] = ()) -> Access:
    """An identity with the roles that the policy needs, each at its scopes, and `with_roles` besides."""
    scopes, options = scopes_of(policy), options_of(policy)
    roles = [role for role in ROLES if role in with_roles or role not in OPTIONAL or OPTIONAL[role] in options]
    return Access(
        Assignment(scope, frozenset(actions_of(role)))
        for role in roles
        for kind in ROLES[role].scopes
        for scope in scopes[kind]
    )
