"""The simulated Azure over loopback HTTP: ARM, the control routes, and Event Grid's deliveries to a webhook."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping

import aiohttp
from aiohttp import web

from simulator.arm import Arm, error_answer
from simulator.builders import Office
from simulator.control import Control
from simulator.errors import AzureError, ConnectionLost
from simulator.event_grid import Delivery, Subscription
from simulator.receivers import Receiver
from simulator.tables import Reply, Tables
from simulator.wire import Answer, Json, invalid

log = logging.getLogger("simulator")

ACCOUNT = "/devstoreaccount1"
"""Where the table service is: storage emulators call their account so."""

RECEIVER = "/simulator/webhook"
"""Where a webhook takes the app's notifications; `/simulator/notifications` shows them."""

_LOOK_EVERY = 0.2
_WEBHOOK_TIMEOUT = aiohttp.ClientTimeout(total=30)


class Server:
    """Serves an office, a table service and a receiver of notifications on 127.0.0.1; `async with` starts and stops it.

    `port` 0 takes a free one; `base_url` tells which. With a `webhook`, every change of an image version is posted
    there as Event Grid would, with its retries in simulated time. It all happens on one event loop: no lock is needed.
    """

    def __init__(
        self, office: Office, arm: Arm, *, port: int = 7072, webhook: str = "", subscription: Subscription | None = None
    ) -> None:
        self._office = office
        self._arm = arm
        self._control = Control(office, arm)
        self.tables = Tables(ACCOUNT)
        self.receiver = Receiver("")
        self._port = port
        self._webhook = webhook
        self.subscription = subscription or Subscription(seed=office.estate.seed)
        self._runner: web.AppRunner | None = None
        self._pump: asyncio.Task[None] | None = None
        self._posting: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Server:
        """Start to listen and to deliver."""
        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.router.add_route("*", RECEIVER, self._notified)
        app.router.add_route("GET", "/simulator/notifications", self._notifications)
        app.router.add_route("*", "/simulator/{path:.*}", self._controlled)
        app.router.add_route("*", f"{ACCOUNT}/{{path:.*}}", self._tabled)
        app.router.add_route("*", "/{path:.*}", self._answered)
        app.cleanup_ctx.append(self._delivering)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]  # what 0 has become
        self.receiver.address = self.base_url + RECEIVER
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop delivering and listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answered(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        url = f"{request.scheme}://{request.host}{request.rel_url}"
        try:
            return _response(self._arm.handle(request.method, url, request.headers, body))
        except ConnectionLost:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()

    async def _tabled(self, request: web.Request) -> web.Response:
        return await _replied(self.tables.handle, request)

    async def _notified(self, request: web.Request) -> web.Response:
        return await _replied(self.receiver.handle, request)

    async def _notifications(self, request: web.Request) -> web.Response:
        return web.json_response({"notifications": self.receiver.taken})

    async def _controlled(self, request: web.Request) -> web.Response:
        try:
            body: Json = dict(request.query) if request.method == "GET" else await _object(request)
            return _response(self._control.handle(request.method, request.match_info["path"], body))
        except AzureError as error:
            return _response(error_answer(error))

    async def _delivering(self, app: web.Application) -> AsyncIterator[None]:
        if self._webhook:
            self._office.estate.galleries.on_announcement(self.subscription.announce)
        async with aiohttp.ClientSession(timeout=_WEBHOOK_TIMEOUT) as client:
            pump = asyncio.create_task(self._keep_posting(client))
            yield
            for task in (pump, *self._posting):
                task.cancel()
            await asyncio.gather(pump, *self._posting, return_exceptions=True)

    async def _keep_posting(self, client: aiohttp.ClientSession) -> None:
        while True:
            now = self._office.estate.now()
            for delivery in self.subscription.due(now):
                task = asyncio.create_task(self._post(client, delivery))
                self._posting.add(task)
                task.add_done_callback(self._posting.discard)
            await asyncio.sleep(_LOOK_EVERY)

    async def _post(self, client: aiohttp.ClientSession, delivery: Delivery) -> None:
        try:
            async with client.post(self._webhook, json=delivery.body, headers=delivery.headers) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            log.info("event %s was not delivered: %s", delivery.id, error)
            status = 0
        self.subscription.answered(delivery, status, self._office.estate.now())


async def serve(server: Server, ready: Callable[[str], None], stop: asyncio.Event) -> None:
    """Run until `stop` is set; `ready` is told the address once it listens."""
    async with server:
        ready(server.base_url)
        await stop.wait()


async def _replied(handle: Callable[[str, str, Mapping[str, str], bytes], Reply], request: web.Request) -> web.Response:
    url = f"{request.scheme}://{request.host}{request.rel_url}"
    reply = handle(request.method, url, request.headers, await request.read())
    return web.Response(status=reply.status, body=reply.body.encode(), headers=dict(reply.headers))


def _response(answer: Answer) -> web.Response:
    if answer.body is None:
        return web.Response(status=answer.status, headers=dict(answer.headers))
    text = json.dumps(answer.body)
    return web.Response(
        status=answer.status, text=text, headers=dict(answer.headers), content_type="application/json", charset="utf-8"
    )


async def _object(request: web.Request) -> Json:
    text = await request.text()
    if not text:
        return {}
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise invalid("The body is not a JSON object.")
    return body
