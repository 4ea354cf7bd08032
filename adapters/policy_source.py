"""Where the policy comes from: a file in the app's package, read anew each time, as it is small and may be replaced."""

from __future__ import annotations

from adapters.settings import read_settings
from rollout.policy import Policy


def current_policy() -> Policy:
    """The policy as it is now.

    Raises PolicyError with every problem of the file, and OSError when there is no file where GOLDROLL_POLICY says.
    """
    # PyYAML is loaded for the first event or request, not when the app starts.
    from rollout.policy_file import read_policy

    return read_policy(read_settings().policy_file.read_text(encoding="utf-8"))
