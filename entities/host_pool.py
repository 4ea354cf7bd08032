"""A host pool's lease as a Durable entity: one rollout at a time holds a pool, whoever started it."""

from __future__ import annotations

from datetime import datetime

import azure.durable_functions as df
import msgspec
from msgspec import Struct

from rollout.commands import Command
from rollout.lease import Lease, LeaseAnswer, acquire, check_in, command, release

bp = df.Blueprint()


class LeaseRequest(Struct, frozen=True, omit_defaults=True):
    """What is asked of the lease. `target` and `on_newer` count for acquire only, `last_number` for check_in
    and release, `carried_out` for check_in, `command` for command.

    `now` comes from the orchestration, so that lease and rollout live by the same clock.
    """

    rollout: str
    now: datetime
    target: str = ""
    on_newer: str = "supersede"
    last_number: int = 0
    carried_out: int = 0
    command: Command | None = None


@bp.entity_trigger(context_name="context")
def host_pool(context: df.DurableEntityContext) -> None:
    """Operations `acquire`, `check_in`, `release`, `command`, each with a LeaseRequest; the result is a LeaseAnswer.

    A stored lease that cannot be read stays as it is, and nobody gets the pool: somebody may hold it.
    """
    operation = str(context.operation_name)
    request = msgspec.convert(context.get_input(dict), LeaseRequest)
    stored = context.get_state(expected_type=dict)
    try:
        lease = Lease() if stored is None else msgspec.convert(stored, Lease)
    except msgspec.ValidationError as error:
        context.set_result(msgspec.to_builtins(_closed(operation, error)))
        return
    lease, answer = _apply(operation, lease, request)
    context.set_state(msgspec.to_builtins(lease))
    context.set_result(msgspec.to_builtins(answer))


def _apply(operation: str, lease: Lease, request: LeaseRequest) -> tuple[Lease, LeaseAnswer]:
    if operation == "acquire":
        return acquire(lease, request.rollout, request.target, request.on_newer, request.now)
    if operation == "check_in":
        return check_in(lease, request.rollout, request.now, request.last_number, request.carried_out)
    if operation == "release":
        return release(lease, request.rollout, request.last_number)
    if operation == "command" and request.command is not None:
        return command(lease, request.rollout, request.command, request.now)
    raise ValueError(f"a host pool's lease knows no operation {operation!r}")


def _closed(operation: str, error: msgspec.ValidationError) -> LeaseAnswer:
    message = f"the host pool's lease cannot be read ({error}); nobody gets the pool until it is deleted"
    return LeaseAnswer("refused" if operation == "acquire" else "lost", message)
