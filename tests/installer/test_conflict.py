"""When drifts are a fight. The clock is a stand-in: a window is ten minutes long."""

import pytest

from cni.installer import conflict
from cni.installer.conflict import BACK_OFF, CONFLICT_DRIFTS, CONFLICT_WINDOW, Conflict


class Clock:
    """The monotonic clock, as far as a test lets it go on."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(conflict, "time", made)
    return made


def drift(found: Conflict, clock: Clock, times: int, over: float) -> None:
    """Have so many drifts, the last of them `over` seconds after the first."""
    for number in range(times):
        clock.now += over / (times - 1) if number else 0
        found.add()


def test_the_promised_numbers() -> None:
    assert (CONFLICT_DRIFTS, CONFLICT_WINDOW, BACK_OFF) == (5, 600, 60)


def test_as_many_drifts_as_are_allowed_are_no_fight_however_quick(clock: Clock) -> None:
    found = Conflict()
    drift(found, clock, CONFLICT_DRIFTS, 1)
    assert found.back_off == 0


def test_one_more_within_the_window_is_one(clock: Clock) -> None:
    found = Conflict()
    drift(found, clock, CONFLICT_DRIFTS + 1, CONFLICT_WINDOW - 1)
    assert found.back_off == BACK_OFF


def test_as_many_over_a_longer_time_are_none(clock: Clock) -> None:
    """A calico-node that restarts every three minutes is repaired at once for ever."""
    found = Conflict()
    drift(found, clock, 1000, CONFLICT_WINDOW / CONFLICT_DRIFTS * 999)
    assert found.back_off == 0


def test_the_next_repair_is_due_a_minute_after_the_last_one(clock: Clock) -> None:
    found = Conflict()
    drift(found, clock, CONFLICT_DRIFTS + 1, 10)
    clock.now += BACK_OFF - 1
    assert found.back_off == 1
    clock.now += 1
    assert found.back_off == 0


def test_a_fight_that_goes_on_is_repaired_once_a_minute(clock: Clock) -> None:
    found = Conflict()
    drift(found, clock, CONFLICT_DRIFTS + 1, 10)
    for _ in range(20):
        clock.now += BACK_OFF
        assert found.back_off == 0
        found.add()
        assert found.back_off == BACK_OFF


def test_after_a_quiet_window_there_is_no_fight_any_more(clock: Clock) -> None:
    found = Conflict()
    drift(found, clock, CONFLICT_DRIFTS + 1, 10)
    clock.now += CONFLICT_WINDOW
    found.add()
    assert found.back_off == 0
