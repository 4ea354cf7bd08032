"""What a rollout remembers, as it travels between orchestrator and activities: packed, as it does so in every turn.

Of a pool of a thousand hosts it is 60 kB of JSON, of which most is the same few words and times over and over; packed
it is 5 kB. Durable keeps what travels in its history several times, and pays for each kilobyte.
"""

from __future__ import annotations

import binascii
import zlib
from base64 import b64decode, b64encode
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from rollout.model import RolloutState
from rollout.steps import Decision, Step


class _PackedDecision(Struct, frozen=True, omit_defaults=True):
    state: str
    steps: tuple[Step, ...] = ()
    wake_at: datetime | None = None
    done: bool = False


def pack(state: RolloutState) -> str:
    """A rollout's memory as a short text, for `unpack`."""
    return b64encode(zlib.compress(msgspec.json.encode(state))).decode("ascii")


def unpack(text: str) -> RolloutState:
    """The memory that `pack` made a text of. Raises ValueError when the text is something else."""
    try:
        return msgspec.json.decode(zlib.decompress(b64decode(text, validate=True)), type=RolloutState)
    except (binascii.Error, zlib.error, msgspec.DecodeError) as error:
        raise ValueError(f"this is not what a rollout remembers: {error}") from error


def pack_decision(decision: Decision) -> dict[str, Any]:
    """A decision as JSON values, its state packed and its story left out."""
    packed = _PackedDecision(pack(decision.state), decision.steps, decision.wake_at, decision.done)
    return msgspec.to_builtins(packed)  # type: ignore[no-any-return]


def unpack_decision(body: Any) -> Decision:
    """The decision that `pack_decision` made JSON values of. Raises ValueError when they are something else."""
    packed = msgspec.convert(body, _PackedDecision)
    return Decision(unpack(packed.state), packed.steps, (), packed.wake_at, packed.done)
