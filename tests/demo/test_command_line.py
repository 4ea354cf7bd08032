"""The demo as it is typed: what it prints, in which form, and with which exit code it ends."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import demo.__main__ as command
from demo.scenarios import SCENARIOS
from tests.scenarios.small import small_rollout

FIGURES = {
    "scenario",
    "seed",
    "phase",
    "hosts",
    "current",
    "waves",
    "forced_sign_outs",
    "signed_out_twice",
    "refused_sign_ins",
    "min_free_slots",
    "arm_calls",
    "simulated_seconds",
    "real_seconds",
    "violations",
    "pools",
}


@pytest.fixture(autouse=True)
def small_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these tests plays the same three hosts: what is shown does not depend on how many there are."""
    monkeypatch.setitem(SCENARIOS, "happy", replace(small_rollout(), name="happy"))


def test_json_ends_with_one_object_that_holds_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--json", "--seed", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    figures = json.loads(lines[-1])
    assert figures.keys() >= FIGURES
    assert (figures["scenario"], figures["seed"], figures["phase"]) == ("happy", 3, "Succeeded")
    assert figures["hosts"] == figures["current"] == 3
    assert figures["simulated_seconds"] > 3600
    assert figures["arm_calls"] > 100


def test_without_a_terminal_the_story_is_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert re.search(r"^09:\d\d  office    provisioning the canary avd-003 on 2.0.0 in zone \d$", out, re.MULTILINE)
    assert "forced sign-outs" in out
    assert out.rstrip().endswith(".")


def test_a_windows_console_that_lacks_characters_gets_the_story_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="cp1252"))
    monkeypatch.setitem(SCENARIOS, "happy", replace(SCENARIOS["happy"], about="Zwölf Hosts → eine Geschichte ✓"))
    assert command.main([]) == 0
    text = written.getvalue().decode("cp1252")
    assert "Zwölf Hosts ? eine Geschichte ?" in text
    assert "Succeeded: all 3 hosts are on 2.0.0" in text


def test_a_scenario_that_does_not_come_out_as_it_must_ends_with_1_and_says_how_to_repeat_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = replace(SCENARIOS["happy"], outcome=replace(SCENARIOS["happy"].outcome, phase="Halted"))
    monkeypatch.setitem(SCENARIOS, "happy", wrong)
    assert command.main([]) == 1
    out = capsys.readouterr().out
    assert "the phase is Succeeded instead of Halted" in out
    assert "python3 dev.py demo --scenario happy --seed 1" in out


def test_the_list_says_what_every_scenario_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list"]) == 0
    out = capsys.readouterr().out
    for scenario in SCENARIOS.values():
        assert f"{scenario.name}: {scenario.title}" in out
    assert "drain mode" in out


def test_a_picture_is_an_svg_of_the_story_the_bars_and_the_figures(tmp_path: Path) -> None:
    picture = tmp_path / "docs" / "demo.svg"
    assert command.main(["--picture", str(picture)]) == 0
    text = picture.read_text(encoding="utf-8").replace("&#160;", " ")
    assert text.startswith("<svg")
    assert "@font-face" not in text, "a picture in a document loads nothing"
    for words in ("provisioning the canary", "slots free", "forced sign-outs"):
        assert words in text


@pytest.mark.parametrize("arguments", [["--scenario", "nonsense"], ["--speed", "0"], ["--seed", "x"]])
def test_a_wrong_command_line_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err
