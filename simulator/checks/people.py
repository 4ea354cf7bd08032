"""Checkers of what people have to put up with: notice, grace, sign-outs."""

from __future__ import annotations

from datetime import datetime, timedelta

from rollout.steps import SignOutSessions
from rollout.windows import is_open
from simulator.checks.watch import Checker
from simulator.direct import ROLLOUT
from simulator.journal import Entry, Kind
from simulator.situations import NOTICE_TITLE, WITHDRAWN_TITLE

_ON_THE_WAY = timedelta(minutes=5)
"""Between a decision and its execution: a message may arrive so much later than the turn that set its deadline."""


class GraceKept(Checker):
    """Nobody at work is signed out before the grace period has passed since a notice reached them."""

    rule = "S7"
    kinds = (Kind.MESSAGE_SENT, Kind.FORCED_OUT, Kind.SIGNED_IN, Kind.SIGNED_OUT, Kind.DISCONNECTED_OUT)

    def begin(self) -> None:
        self._told: dict[str, datetime] = {}

    def saw(self, entry: Entry) -> None:
        if entry.kind is Kind.MESSAGE_SENT:
            self._note(entry)
        elif entry.kind is Kind.FORCED_OUT and entry.by == ROLLOUT:
            told = self._told.pop(entry.subject, None)
            grace = self.scene.policy.drain.grace
            if told is None:
                self.fail(f"{entry.subject} was signed out of {entry.detail} without any notice")
            elif entry.at - told < grace - _ON_THE_WAY:
                self.fail(
                    f"{entry.subject} was signed out of {entry.detail} {entry.at - told} after the notice of {grace}"
                )
        else:
            self._told.pop(entry.subject, None)

    def _note(self, entry: Entry) -> None:
        if entry.detail.endswith(WITHDRAWN_TITLE):
            self._told.pop(entry.subject, None)
        elif entry.detail.endswith(NOTICE_TITLE):
            self._told.setdefault(entry.subject, entry.at)


class DisconnectedGraceKept(Checker):
    """A disconnected session is ended only when its host has been draining for the disconnected grace."""

    rule = "S7"
    kinds = (Kind.HOST_DRAINED, Kind.HOST_UNDRAINED, Kind.MACHINE_TAGGED, Kind.DISCONNECTED_OUT)

    def begin(self) -> None:
        self._held_since: dict[str, datetime] = {}

    def saw(self, entry: Entry) -> None:
        if entry.by != ROLLOUT:
            return
        if entry.kind in (Kind.MACHINE_TAGGED, Kind.HOST_DRAINED):
            self._held_since.setdefault(_host(entry.subject), entry.at)
        elif entry.kind is Kind.HOST_UNDRAINED and not self.scene.memory_lost:
            self._held_since.pop(_host(entry.subject), None)
        elif entry.kind is Kind.DISCONNECTED_OUT:
            since = self._held_since.get(_host(entry.detail))
            grace = self.scene.policy.drain.disconnected_grace
            if since is None:
                self.fail(f"{entry.subject} was signed out of {entry.detail}, which the rollout does not hold")
            elif entry.at - since < grace:
                self.fail(f"{entry.subject} was signed out {entry.at - since} after {entry.detail} began to drain")


class SignedOutOnlyByPolicy(Checker):
    """People at work are signed out only where the policy says so, and inside a window where it asks for that."""

    rule = "S7"
    kinds = (Kind.FORCED_OUT,)

    def saw(self, entry: Entry) -> None:
        drain = self.scene.policy.drain
        if entry.by != ROLLOUT:
            return
        if drain.on_timeout != "sign_out":
            self.fail(f"{entry.subject} was signed out of {entry.detail}, and the policy says to {drain.on_timeout}")
        elif drain.sign_out_in_window_only and not is_open(self.scene.policy.windows, entry.at - _ON_THE_WAY):
            self.fail(f"{entry.subject} was signed out of {entry.detail} outside every window")


class NobodySignedOutTwice(Checker):
    """Nobody at work is signed out a second time by the same rollout."""

    rule = "S14"
    kinds = (Kind.FORCED_OUT,)

    def begin(self) -> None:
        self._once: dict[tuple[str, str], str] = {}

    def saw(self, entry: Entry) -> None:
        if entry.by != ROLLOUT or self.scene.memory_lost:
            return
        host = self._once.setdefault((self.scene.rollout_id, entry.subject), entry.detail)
        if host != entry.detail:
            self.fail(f"{entry.subject} was signed out of {host}, and now of {entry.detail}")


class NobodyCutOff(Checker):
    """A session ends by a sign-out or not at all: no host is removed or switched off under it."""

    rule = "S8"
    kinds = (Kind.FORCED_OUT, Kind.DISCONNECTED_OUT)

    def saw(self, entry: Entry) -> None:
        step = self.scene.executing
        if entry.by == ROLLOUT and not isinstance(step, SignOutSessions):
            what = type(step).__name__ if step else "nothing"
            self.fail(f"{entry.subject} was cut off from {entry.detail} by {what}")


def _host(subject: str) -> str:
    """The bare host name of a machine id or of `pool/host`."""
    return subject.rsplit("/", 1)[1].split(".", maxsplit=1)[0].lower()
