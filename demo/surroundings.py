"""What a policy refers to besides host pools and images, put into a simulated Azure: subnets, an event subscription."""

from __future__ import annotations

from rollout.policy import Policy
from simulator.estate import Estate

FUNCTION = (
    "/subscriptions/11111111-2222-4333-8444-555555555555/resourceGroups/rg-goldroll/providers/Microsoft.Web/sites/"
    "func-goldroll/functions/image_published"
)
"""The function that new versions are announced to."""


def furnish(estate: Estate, policy: Policy, region: str) -> None:
    """Create the subnets of the policy's pools in `region`, and announce the versions of its galleries."""
    for pool in policy.host_pools:
        estate.surroundings.add_subnet(pool.session_host.subnet_id, region)
    galleries = {image.definition.rpartition("/images/")[0] for image in policy.images if image.marketplace is None}
    for gallery in sorted(galleries):
        estate.surroundings.announce(gallery, FUNCTION)
