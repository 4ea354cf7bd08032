"""ARM routes of what lies around host pools: virtual networks, providers, VM sizes, Event Grid's system topics."""

from __future__ import annotations

from collections.abc import Iterator

from simulator import ids
from simulator.errors import not_found
from simulator.estate import Estate
from simulator.surroundings import SizeOnOffer, SystemTopic
from simulator.wire import Answer, Json, Request, Route, paged

_SUBSCRIPTION = "/subscriptions/{subscription}"
_GROUP = _SUBSCRIPTION + "/resourceGroups/{group}"
_EVENTS = "/providers/Microsoft.EventGrid"


def routes(estate: Estate) -> Iterator[Route]:
    """All routes of this file."""
    these = _Routes(estate)
    network = _GROUP + "/providers/Microsoft.Network/virtualNetworks/{network}"
    yield Route("GET", network, "virtualNetworks.get", these.network)
    yield Route("GET", _SUBSCRIPTION + "/providers/{provider}", "providers.get", these.provider)
    yield Route("GET", _SUBSCRIPTION + "/providers/Microsoft.Compute/skus", "skus.list", these.sizes, lists=True)
    yield Route("GET", _SUBSCRIPTION + _EVENTS + "/systemTopics", "systemTopics.list", these.topics, lists=True)
    subscriptions = _GROUP + _EVENTS + "/systemTopics/{topic}/eventSubscriptions"
    yield Route("GET", subscriptions, "systemTopicEventSubscriptions.list", these.topic_subscriptions, lists=True)
    for scope in (_SUBSCRIPTION, _GROUP):
        path = scope + _EVENTS + "/eventSubscriptions"
        yield Route("GET", path, "eventSubscriptions.list", these.no_subscriptions, lists=True)


class _Routes:
    def __init__(self, estate: Estate) -> None:
        self._around = estate.surroundings

    def network(self, request: Request) -> Answer:
        found = self._around.networks.get(request.path.lower())
        name = request.names["network"]
        if found is None:
            raise not_found("Microsoft.Network/virtualNetworks", name, request.group)
        region, subnets = found
        bodies = [{"id": f"{request.path}/subnets/{subnet}", "name": subnet} for subnet in subnets]
        return Answer(200, {"id": request.path, "name": name, "location": region, "properties": {"subnets": bodies}})

    def provider(self, request: Request) -> Answer:
        name = request.names["provider"]
        state = self._around.provider_states.get(name.lower(), "Registered")
        body = {"id": request.path, "namespace": name, "registrationState": state, "resourceTypes": []}
        return Answer(200, body)

    def sizes(self, request: Request) -> Answer:
        region = request.query.get("$filter", "").rpartition("location eq ")[2].strip("' ")
        return paged(request, self._around.sizes, lambda size: _size_body(size, region))

    def topics(self, request: Request) -> Answer:
        return paged(request, self._around.topics, lambda topic: _topic_body(request.subscription, topic))

    def topic_subscriptions(self, request: Request) -> Answer:
        named = [one for one in self._around.topics if one.name.lower() == request.names["topic"].lower()]
        found = [one for topic in named for one in topic.subscriptions]
        return paged(request, found, lambda one: _event_subscription_body(*one))

    def no_subscriptions(self, request: Request) -> Answer:
        """Those without a system topic, of which this Azure has none."""
        return Answer(200, {"value": []})


def _size_body(size: SizeOnOffer, region: str) -> Json:
    abilities = {"vCPUs": str(size.cores), "HyperVGenerations": size.generations}
    if not size.trusted_launch:
        abilities["TrustedLaunchDisabled"] = "True"
    return {
        "resourceType": "virtualMachines",
        "name": size.name,
        "family": size.family,
        "locations": [region],
        "capabilities": [{"name": name, "value": value} for name, value in abilities.items()],
        "restrictions": [{"type": "Location", "values": [region], "reasonCode": "NotAvailableForSubscription"}]
        if size.restricted
        else [],
    }


def _topic_body(subscription: str, topic: SystemTopic) -> Json:
    group = f"/subscriptions/{subscription}/resourceGroups/{topic.group}"
    return {
        "id": f"{group}{_EVENTS}/systemTopics/{topic.name}",
        "name": topic.name,
        "location": "global",
        "properties": {"source": topic.source, "topicType": "Microsoft.Resources.ResourceGroups"},
    }


def _event_subscription_body(function_id: str, prefix: str) -> Json:
    return {
        "name": ids.normalise_region(function_id.rpartition("/")[2]),
        "properties": {
            "provisioningState": "Succeeded",
            "destination": {"endpointType": "AzureFunction", "properties": {"resourceId": function_id}},
            "filter": {"subjectBeginsWith": prefix, "includedEventTypes": ["Microsoft.Resources.ResourceWriteSuccess"]},
        },
    }
