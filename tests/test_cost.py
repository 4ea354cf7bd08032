"""docs/cost.md: what can be reckoned anew from its own assumptions is right."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "cost.md").read_text("utf-8")


def number(text: str) -> float:
    return float(text.replace(",", ""))


def cells(row: str) -> list[str]:
    """The cells of the row that begins so, without the first."""
    (line,) = re.findall(rf"^\| \**{re.escape(row)}\** \|(.+)\|$", PAGE, re.MULTILINE)
    return [cell.strip(" *") for cell in line.split("|")]


SUMS = re.findall(r"((?:[\d,.]+ [+x] )+[\d,.]+\d) = ([\d,.]+\d)", PAGE)


@pytest.mark.parametrize(("sum_", "result"), SUMS, ids=[one for one, _ in SUMS])
def test_a_sum_is_right(sum_: str, result: str) -> None:
    total = 0.0
    for part in sum_.split(" + "):
        product = 1.0
        for factor in part.split(" x "):
            product *= number(factor)
        total += product
    assert total == pytest.approx(number(result))


def test_there_are_sums_to_be_checked() -> None:
    assert len(SUMS) >= 8


def test_the_app_costs_what_its_parts_cost() -> None:
    price, per_operation = (
        number(cells("Functions, Flex Consumption on demand: execution time")[0].split()[0]),
        0.004 / 1e4,
    )
    runs = [number(cell.rsplit("= ", 1)[1]) for cell in cells("Runs")]
    assert [number(cell) for cell in cells("GB-seconds")] == [2 * count for count in runs]
    without = [re.search(r"\(([\d.]+)", cell) for cell in cells("Functions")]
    assert [number(one[1]) for one in without if one] == [round(2 * count * price, 2) for count in runs]
    operations = [1_296_000 + 15 * count for count in runs]
    told = [cell.rsplit("= ", 1)[-1].split(": ") for cell in cells("Storage operations")]
    assert [number(count) for count, _ in told] == operations
    storage = [round(count * per_operation, 2) for count in operations]
    assert [number(amount) for _, amount in told] == storage
    alerts = number(cells("Alerts")[1])
    assert [number(cell) for cell in cells("The app")] == [round(alerts + one, 2) for one in storage]


def test_the_alerts_that_are_paid_for_are_those_that_are_deployed() -> None:
    every = [rule["every"] for rule in json.loads((ROOT / "infra" / "alerts.json").read_text("utf-8"))]
    often = every.count("PT5M")

    assert cells("Alerts")[0].startswith(f"{often} x 1.50 + {len(every) - often} x 0.50 + 0.10 = ")
