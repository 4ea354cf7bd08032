"""The ready-made query gate: how many percent of the sign-ins to a ring's host pools failed since they were done.

Every connection has a correlation id in WVDConnections: a row with State Started, and one with State Connected once it
has reached a session host. One without the latter has failed, as in Azure Virtual Desktop Insights; one that is
younger than a quarter of an hour may still be on its way, to the host or into the table, and does not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from rollout.policy import GatesPolicy, QueryGate, SignInFailuresGate

SIGN_IN_FAILURES = "sign-in-failures"
"""The gate's name among a ring's queries, which no other may have."""

ON_ITS_WAY = timedelta(minutes=15)
"""How young a sign-in may be that does not count yet; the same is said in the query."""

SIGN_IN_QUERY = """\
WVDConnections
| where TimeGenerated >= goldroll_done and tolower(_ResourceId) in (goldroll_host_pools)
| summarize Began = minif(TimeGenerated, State == "Started"), Connected = countif(State == "Connected") by CorrelationId
| where isnotnull(Began) and Began < goldroll_now - 15m
| summarize SignIns = count(), Failed = countif(Connected == 0)
| where SignIns >= {least_sign_ins}
| project round(100.0 * Failed / SignIns, 1)"""


def sign_in_query(gate: SignInFailuresGate) -> QueryGate:
    """The query gate that it comes to; too few sign-ins give no row, which is no data."""
    return QueryGate(
        workspace_id=gate.workspace_id,
        query=SIGN_IN_QUERY.replace("{least_sign_ins}", str(gate.least_sign_ins)),
        at_most=gate.at_most_percent,
        within=gate.within,
        every=gate.every,
        on_no_data=gate.on_no_data,
    )


def queries_of(gates: GatesPolicy) -> Mapping[str, QueryGate]:
    """Every query of a ring by its name."""
    if gates.sign_in_failures is None:
        return gates.queries
    return {**gates.queries, SIGN_IN_FAILURES: sign_in_query(gates.sign_in_failures)}
