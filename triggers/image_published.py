"""Starts a rollout when Event Grid announces an image version."""

from __future__ import annotations

import asyncio
import logging

import azure.durable_functions as df

from adapters.events import Ignored, Malformed, read_event
from adapters.policy_source import PolicyUnusable
from rollout.subject import subject_of
from triggers.proposals import NotProposed, announced
from triggers.starting import start_once

bp = df.Blueprint()

_log = logging.getLogger("goldroll.triggers")


@bp.event_grid_trigger(arg_name="event")
@bp.durable_client_input(client_name="client")
async def image_published(event: str, client: df.DurableOrchestrationClient) -> None:
    """Take one event, in either of Event Grid's schemas.

    Duplicates, old events in a new order and events about something else change nothing. An event that cannot be read
    is written to the log and done with, as it would be no better the next time; so is one that finds the policy file
    broken: the sweep finds the version when the file is mended. When Azure cannot be read the function fails, so that
    Event Grid delivers the event again.
    """
    announcement = read_event(event)
    if isinstance(announcement, Malformed):
        _log.warning("an event that cannot be read is dropped: %s", announcement.why)
        return
    if isinstance(announcement, Ignored):
        _log.info("an event is ignored: %s", announcement.why)
        return
    try:
        proposal = await asyncio.to_thread(announced, announcement.version_id)
    except PolicyUnusable as error:
        _log.error("event %s waits for the sweep, the policy cannot be used: %s", announcement.event_id, error)
        return
    if isinstance(proposal, NotProposed):
        _log.info("event %s is ignored: %s", announcement.event_id, proposal.why)
        return
    start = await start_once(client, proposal)
    verb = "starts" if start.is_new else "has been started before as"
    about = subject_of(start.instance_id)
    _log.info("event %s %s %s", announcement.event_id, verb, start.instance_id, extra=about.extra)
