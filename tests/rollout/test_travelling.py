"""What a rollout remembers and decides, packed to travel between orchestrator and activities."""

from __future__ import annotations

import json

import msgspec
import pytest
from msgspec import structs

from rollout.model import HostProgress, SessionProgress, Stage
from rollout.policy import hours, minutes
from rollout.pool import decide
from rollout.travelling import pack, pack_decision, unpack, unpack_decision
from tests.rollout.builders import MORNING, a_policy, a_pool, a_state, hosts_named


def test_what_is_remembered_and_decided_arrives_as_it_was() -> None:
    pool = a_pool(hosts_named(4, sessions=1))
    decision = decide(a_state(), pool, a_policy(), MORNING)
    arrived = unpack_decision(json.loads(json.dumps(pack_decision(decision))))

    assert decision.steps
    assert arrived == structs.replace(decision, story=())


def test_a_thousand_hosts_of_which_a_quarter_is_in_hand_travel_in_a_few_kilobytes() -> None:
    people = {str(n): SessionProgress(deadline=MORNING + hours(8) + n * minutes(1), notices=1) for n in range(4)}
    in_hand = {
        f"avd-{n:03}": HostProgress(stage=Stage.DRAINING, since=MORNING + n * minutes(1), asked=True, sessions=people)
        for n in range(250)
    }
    state = a_state(desired=1000, in_hand=in_hand)

    assert len(msgspec.json.encode(state)) > 60_000
    assert len(pack(state)) < 32_000
    assert unpack(pack(state)) == state


@pytest.mark.parametrize("text", ["", "{}", "AAAA", "not base64!", "eJwDAAAAAAE=", pack(a_state())[:-8]])
def test_a_text_that_is_no_memory_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="this is not what a rollout remembers"):
        unpack(text)


@pytest.mark.parametrize(
    "body", [None, {}, {"state": "AAAA"}, {"state": pack(a_state()), "steps": [{"type": "Dance"}]}]
)
def test_a_body_that_is_no_decision_is_refused(body: object) -> None:
    with pytest.raises(ValueError, match=r"this is not what|Expected|missing|Invalid"):
        unpack_decision(body)
