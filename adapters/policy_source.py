"""Where the policy comes from: a file in the app's package, read anew each time, as it is small and may be replaced."""

from __future__ import annotations

from adapters.settings import SettingsError, read_settings
from rollout.policy import Policy


class PolicyUnusable(Exception):
    """There is no valid policy; the text names the file and every problem in it."""


def current_policy() -> Policy:
    """The policy as it is now. Raises PolicyUnusable."""
    # PyYAML is loaded for the first event or request, not when the app starts.
    from rollout.policy_file import PolicyError, read_policy

    try:
        file = read_settings().policy_file
    except SettingsError as error:
        raise PolicyUnusable(str(error)) from error
    try:
        return read_policy(file.read_text(encoding="utf-8"))
    except (PolicyError, OSError, UnicodeDecodeError) as error:
        raise PolicyUnusable(f"{file.name}: {error}") from error
