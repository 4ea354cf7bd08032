"""A simulated Azure in this process for `doctor --simulated`: the demo's office, and the policy for it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from adapters import connect
from demo.access import least_privilege
from demo.policies import REGION, host_prefix, policy_text
from demo.surroundings import furnish
from rollout.policy_file import read_policy
from simulator.arm import Arm
from simulator.builders import MONDAY_MORNING, office_pool
from simulator.clock import SteppedClock
from simulator.estate import Estate
from simulator.transport import MANAGEMENT, AnyoneCredential, transport_to


@contextmanager
def simulated_azure() -> Iterator[datetime]:
    """While it lasts the adapters talk to an office of twelve hosts, and the policy is the demo's. Yields its time.

    A policy that GOLDROLL_POLICY names is kept: it then meets an Azure that holds the demo's office only.
    """
    estate = Estate(SteppedClock(MONDAY_MORNING), seed=1)
    office_pool(estate, 12, 0, name="office", region=REGION, host_prefix=host_prefix("office"))
    text = policy_text("office", scaling_exclusion_tag="excludeFromScaling")
    policy = read_policy(text)
    furnish(estate, policy, REGION)
    arm = Arm(estate, access=least_privilege(policy))
    before = os.environ.get("GOLDROLL_POLICY")
    connect.use(connect.Connection(MANAGEMENT, AnyoneCredential(), transport_to(arm)))
    with tempfile.TemporaryDirectory(prefix="goldroll-") as folder:
        file = Path(folder) / "goldroll.yaml"
        file.write_text(text, encoding="utf-8")
        os.environ["GOLDROLL_POLICY"] = before or str(file)
        try:
            yield MONDAY_MORNING
        finally:
            connect.use(None)
            os.environ.pop("GOLDROLL_POLICY")
            if before is not None:
                os.environ["GOLDROLL_POLICY"] = before
