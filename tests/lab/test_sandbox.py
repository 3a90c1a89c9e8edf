"""The lock of the lab, and that asking for it leaves nothing."""

from contextlib import ExitStack, suppress

from tests.conftest import count_descriptors
from tests.lab.sandbox import OccupiedError, alone


def test_to_ask_whether_a_lab_runs_leaves_no_descriptor_open() -> None:
    """The tests of the lab ask a hundred times a second, while they wait for each other."""
    with ExitStack() as held:
        with suppress(OccupiedError):  # else another worker's lab holds it
            held.enter_context(alone())
        before = count_descriptors()
        for _ in range(50):
            with suppress(OccupiedError), alone():
                pass
        assert count_descriptors() == before
