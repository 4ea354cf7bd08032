"""Timer triggers: six-field NCRONTAB schedules, %SETTING% look-up, and the request that the function gets."""

import json
import os
import re
from collections.abc import Mapping
from datetime import datetime

from croniter import croniter

from localhost.app import AppError, Function
from localhost.history import timestamp
from localhost.store import Schedule
from localhost.worker import Datum


class TimerTrigger:
    """The schedule of one timer-triggered function, in UTC."""

    def __init__(self, function: Function, settings: Mapping[str, str] = os.environ) -> None:
        """settings: app settings for `%NAME%`. Raises AppError for an unknown setting or an unreadable schedule."""
        self.function = function
        self.run_on_startup = bool(function.trigger.get("runOnStartup"))
        # The portal's default: occurrences missed while the host was down are made up for, once.
        self.monitored = function.trigger.get("useMonitor") is not False
        self._expression = _resolve(function, str(function.trigger["schedule"]), settings)
        if len(self._expression.split()) != 6 or not croniter.is_valid(self._expression, second_at_beginning=True):
            raise AppError(
                f"function '{function.name}': schedule {self._expression!r} is not a six-field NCRONTAB expression "
                "{second} {minute} {hour} {day} {month} {day-of-week}"
            )

    def next_after(self, moment: datetime) -> datetime:
        """The first occurrence after `moment`."""
        # day_or=False: NCRONTAB wants both day fields to match, Unix cron either.
        found: datetime = croniter(self._expression, moment, second_at_beginning=True, day_or=False).get_next(datetime)
        return found

    def request(self, schedule: Schedule, *, past_due: bool) -> Datum:
        """The trigger datum of one run."""
        status = {
            "Last": timestamp(schedule.last) if schedule.last else "0001-01-01T00:00:00+00:00",
            "LastUpdated": timestamp(schedule.updated),
            "Next": timestamp(schedule.next),
        }
        body = {"IsPastDue": past_due, "ScheduleStatus": status, "Schedule": {"AdjustForDST": True}}
        return Datum(type="json", value=json.dumps(body))


def _resolve(function: Function, schedule: str, settings: Mapping[str, str]) -> str:
    def look_up(found: re.Match[str]) -> str:
        name = found.group(1)
        if name not in settings:
            raise AppError(f"function '{function.name}': schedule names the app setting '{name}', which is not set")
        return settings[name]

    return re.sub(r"%([^%]+)%", look_up, schedule)
