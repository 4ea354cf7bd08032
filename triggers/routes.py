"""The table of the HTTP API's routes: who may call each, what it takes and what it answers.

The OpenAPI description is made from it; tests hold it against the functions that are registered.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from forecast.plan import RolloutPlan
from rollout.freeze import FreezeAnswer
from rollout.pool_view import PoolView
from triggers.access import Role
from triggers.approvals import Answer, ApprovalAnswer
from triggers.commands import CommandAnswer, CommandRequest
from triggers.freezing import FreezeRequest, ThawRequest
from triggers.host_commands import RetryRequest, SkipRequest
from triggers.images import RegionsView, ScheduleView
from triggers.plans import PlanRequest
from triggers.pools import PoolList
from triggers.records import MOST as MOST_EVENTS
from triggers.records import EventPage, RecordView
from triggers.retirement import RetirementAnswer, RetirementRequest, RetirementView
from triggers.roll_backs import RollBackAnswer
from triggers.rollout_views import RolloutList, RolloutView
from triggers.rollouts import LONGEST_WAIT, MOST_LISTED, RolloutRequest, StartAnswer


class Parameter(Struct, frozen=True):
    """Part of an address's query, or a header: its name, what it says, and its JSON Schema."""

    name: str
    about: str
    schema: dict[str, Any]
    place: Literal["query", "header"] = "query"


class Route(Struct, frozen=True):
    """One route. `answers` maps each status of success to the model of its body; `problems` are those of errors.

    `role` None: whoever may call the app at all. Beside `problems` every route may answer 403, and one with a `body`
    400, 413 and 415.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    function: str
    about: str
    role: Role | None
    answers: dict[int, Any]
    problems: tuple[int, ...] = ()
    body: Any = None
    body_required: bool = True
    parameters: tuple[Parameter, ...] = ()


_TEXT = {"type": "string", "maxLength": 200}
_MOMENT = {"type": "string", "format": "date-time"}
_IF_MATCH = Parameter("If-Match", "the revision that the command is meant for; 412 when it is over", _TEXT, "header")
_COMMANDED = (404, 409, 412)

ROUTES = (
    Route(
        "POST",
        "rollouts",
        "start_rollout",
        "start a rollout, or another attempt of one that has ended without success",
        "Operator",
        {202: StartAnswer, 200: StartAnswer},
        (404, 409, 502, 503),
        RolloutRequest,
    ),
    Route(
        "GET",
        "rollouts",
        "list_rollouts",
        "rollouts in short, page by page",
        "Reader",
        {200: RolloutList},
        (400,),
        parameters=(
            Parameter("limit", "so many at most", {"type": "integer", "minimum": 1, "maximum": MOST_LISTED}),
            Parameter("token", "`next` of the page before", {"type": "string"}),
            Parameter("since", "started at this time or later", _MOMENT),
            Parameter("image", "of this image of the policy", _TEXT),
            Parameter("phase", "in this phase, in any case of letters", _TEXT),
            Parameter("pool", "with this host pool", _TEXT),
        ),
    ),
    Route(
        "GET",
        "rollouts/{id}",
        "show_rollout",
        "a rollout with its host pools, at once or when it moves on",
        "Reader",
        {200: RolloutView},
        (400, 404),
        parameters=(
            Parameter(
                "wait",
                f"wait so long for another revision, at most {LONGEST_WAIT.total_seconds():.0f} seconds",
                {"type": "string", "format": "duration"},
            ),
            Parameter("If-None-Match", "with `wait`: the revision that is known already", _TEXT, "header"),
        ),
    ),
    *(
        Route(
            "POST",
            f"rollouts/{{id}}/{verb}",
            f"{verb}_rollout",
            about,
            "Operator",
            {202: CommandAnswer},
            _COMMANDED,
            CommandRequest,
            parameters=(_IF_MATCH,),
        )
        for verb, about in (
            ("pause", "let a rollout or one of its host pools stand still"),
            ("resume", "let what is paused go on"),
            ("abort", "end a rollout or that of one host pool; what is done stays"),
        )
    ),
    *(
        Route(
            "POST",
            f"rollouts/{{id}}/{verb}",
            function,
            about,
            "Operator",
            {202: CommandAnswer},
            (*_COMMANDED, 502),
            body,
            parameters=(_IF_MATCH,),
        )
        for verb, function, about, body in (
            ("skip", "skip_host", "leave one session host alone; what was done to it is taken back", SkipRequest),
            ("retry", "retry_host", "try now what waits, or once more with a host that was set aside", RetryRequest),
        )
    ),
    Route(
        "POST",
        "rollouts/{id}/rollback",
        "roll_back",
        "take back what a rollout has done, in all its host pools or in one",
        "Operator",
        {202: RollBackAnswer, 200: RollBackAnswer},
        (404, 409),
        CommandRequest,
    ),
    Route(
        "POST",
        "plan",
        "make_plan",
        "what a rollout would do now, and what it would be like; changes nothing",
        "Reader",
        {200: RolloutPlan},
        (404, 409, 502, 503),
        PlanRequest,
    ),
    *(
        Route(
            "POST",
            f"rollouts/{{id}}/{verb}",
            f"{verb}_ring",
            about,
            "Approver",
            {202: ApprovalAnswer},
            (404, 409),
            Answer,
        )
        for verb, about in (
            ("approve", "say yes to the ring that is asked about"),
            ("reject", "say no to the ring that is asked about: the version is rejected"),
        )
    ),
    Route(
        "GET",
        "rollouts/{id}/events",
        "show_events",
        "the record of a rollout, page by page",
        "Reader",
        {200: EventPage},
        (400, 404, 409, 502),
        parameters=(
            Parameter("pool", "of this host pool", _TEXT),
            Parameter("host", "of this session host", _TEXT),
            Parameter("kind", "of this kind, such as HostStageChanged", _TEXT),
            Parameter("after", "`next` of the page before", {"type": "string"}),
            Parameter("limit", "so many at most", {"type": "integer", "minimum": 1, "maximum": MOST_EVENTS}),
            Parameter("format", "json or csv", {"enum": ["json", "csv"]}),
        ),
    ),
    Route(
        "GET",
        "record",
        "show_record",
        "what has run on a host pool, or what has become of an image's versions",
        "Reader",
        {200: RecordView},
        (400, 409, 502),
        parameters=(
            Parameter("pool", "of this host pool; or image", _TEXT),
            Parameter("image", "of this image; or pool", _TEXT),
            Parameter("version", "of this version", _TEXT),
            Parameter("kind", "of this kind, such as Approved", _TEXT),
            Parameter("from", "from this time on", _MOMENT),
            Parameter("to", "until this time", _MOMENT),
            Parameter("limit", "so many at most", {"type": "integer", "minimum": 1, "maximum": MOST_EVENTS}),
            Parameter("format", "json or csv", {"enum": ["json", "csv"]}),
        ),
    ),
    Route(
        "GET",
        "pools",
        "list_pools",
        "the policy's host pools, each with its last rollout and who holds it",
        "Reader",
        {200: PoolList},
        (503,),
    ),
    Route(
        "GET",
        "pools/{name}",
        "show_pool",
        "a host pool as it is now: every session host with its state, session slots and people",
        "Reader",
        {200: PoolView},
        (404, 502, 503),
    ),
    Route(
        "GET",
        "images/{name}/schedule",
        "show_schedule",
        "the next runs of an image's schedule",
        "Reader",
        {200: ScheduleView},
        (400, 404, 503),
        parameters=(Parameter("from", "the time after which they are", _MOMENT),),
    ),
    Route(
        "GET",
        "images/{name}/regions",
        "show_regions",
        "each version's regions against those in which it has to be",
        "Reader",
        {200: RegionsView},
        (404, 502, 503),
    ),
    Route(
        "GET",
        "images/{name}/retirement",
        "show_retirement",
        "what would become of each version now, and why",
        "Reader",
        {200: RetirementView},
        (404, 409, 502, 503),
    ),
    Route(
        "POST",
        "images/{name}/retirement",
        "start_retirement",
        "carry that out once",
        "Operator",
        {202: RetirementAnswer, 200: RetirementAnswer},
        (404, 409, 503),
        RetirementRequest,
        body_required=False,
    ),
    Route("GET", "freeze", "show_freeze", "the freeze that stands, if there is one", "Reader", {200: FreezeAnswer}),
    Route(
        "POST",
        "freeze",
        "order_freeze",
        "let nothing begin for a while",
        "Operator",
        {202: FreezeAnswer},
        body=FreezeRequest,
    ),
    Route(
        "DELETE",
        "freeze",
        "end_freeze",
        "end the freeze before its time",
        "Operator",
        {202: FreezeAnswer},
        body=ThawRequest,
    ),
    Route("GET", "openapi.json", "describe_api", "this description", "Reader", {200: dict[str, Any]}),
)
