"""Names for new session hosts: the prefix and the number after the highest, so that no name comes back soon."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain, islice

MAX_NAME_LENGTH = 15
"""Characters of a Windows computer name; the VM and the registration carry the same name."""

MIN_DIGITS = 3
"""`avd-007` rather than `avd-7`: names sort as people expect up to 999 hosts."""

MOST_KNOWN = 65_536
"""Names of one prefix whose numbers are kept in memory."""

MAX_PREFIX_LENGTH = MAX_NAME_LENGTH - MIN_DIGITS - 1
"""What the digits and the hyphen before them leave to the prefix, its own final hyphen not counted."""


class NamesExhausted(ValueError):
    """The prefix leaves too few free numbers for the hosts that are needed; the message says what to change."""


def next_names(prefix: str, names_in_use: Iterable[str], last_number: int, count: int) -> tuple[tuple[str, ...], int]:
    """`count` new names, lower case, and the number of the last one: hand it back as `last_number` the next time.

    Numbers follow the highest in use, or `last_number` (0: none given out yet) if that is higher. They are never filled
    up from below: Entra ID may still hold a device of a removed host, and a device of the same name blocks joining.
    When no higher number fits in 15 characters they start again at 1. A name in use, in any case or as the first label
    of a full DNS name, is never given out; `avd-old` or `avd-012b` count as names in use but not as numbers.

    Raises NamesExhausted when fewer than `count` numbers are free.
    """
    stem = _stem(prefix)
    highest_possible = _highest_possible(stem)
    numbers = _numbers(stem, names_in_use)
    if count > max(0, highest_possible - len(numbers)):
        raise NamesExhausted(
            f"{count} new host names are needed and {max(0, highest_possible - len(numbers))} are free: a name is "
            f"'{stem}' and at least {MIN_DIGITS} digits, {MAX_NAME_LENGTH} characters at most. "
            f"Choose a shorter or another name_prefix."
        )
    latest = _latest(numbers, last_number, highest_possible)
    free = (number for number in _after(latest, highest_possible) if number not in numbers)
    chosen = tuple(islice(free, count))
    return tuple(_name(stem, number) for number in chosen), chosen[-1] if chosen else last_number


def latest_number(prefix: str, names_in_use: Iterable[str], last_number: int) -> int:
    """The number that the next name follows: of a name in use, or `last_number`; 0 when there is neither.

    Remember it while a host exists: once that has been removed, nothing but its stale Entra device knows the number.
    """
    stem = _stem(prefix)
    return _latest(_numbers(stem, names_in_use), last_number, _highest_possible(stem))


def number_in(name: str) -> int | None:
    """The number at the end of a host's name, None when it has none."""
    digits = name.rpartition("-")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else None


def _stem(prefix: str) -> str:
    """The prefix as it stands in front of the number, with exactly the hyphen that separates them."""
    return prefix.lower().removesuffix("-") + "-"


def _highest_possible(stem: str) -> int:
    digits = MAX_NAME_LENGTH - len(stem)
    return 10**digits - 1 if digits >= MIN_DIGITS else 0


class _Numbers(dict[str, int]):
    """The numbers of the names with one stem, 0 of any other name: the same thousands are asked for turn by turn."""

    def __init__(self, stem: str) -> None:
        super().__init__()
        self._stem = stem

    def __missing__(self, name: str) -> int:
        if len(self) >= MOST_KNOWN:
            self.clear()
        number = self[name] = _number(self._stem, name)
        return number


_numbers_with = lru_cache(maxsize=64)(_Numbers)


def _numbers(stem: str, names_in_use: Iterable[str]) -> set[int]:
    return set(map(_numbers_with(stem).__getitem__, names_in_use)) - {0}


def _number(stem: str, name: str) -> int:
    name = name.lower().split(".")[0]
    digits = name[len(stem) :]
    is_ours = name.startswith(stem) and digits.isascii() and digits.isdigit() and len(name) <= MAX_NAME_LENGTH
    return int(digits) if is_ours else 0


def _latest(numbers: set[int], last_number: int, highest_possible: int) -> int:
    """The number that the next one follows.

    Once numbers have wrapped, the highest in use is an old host's. So a number in use that is more than half of all
    numbers ahead of `last_number` counts as behind it, as in serial number arithmetic (RFC 1982).
    """
    if not last_number:
        return max(numbers, default=0)
    ahead = (number for number in numbers if 0 < number - last_number <= highest_possible // 2)
    return max(ahead, default=last_number)


def _after(latest: int, highest_possible: int) -> Iterator[int]:
    return chain(range(latest + 1, highest_possible + 1), range(1, min(latest, highest_possible) + 1))


def _name(stem: str, number: int) -> str:
    return f"{stem}{number:0{MIN_DIGITS}d}"
