"""Have SIGTERM and SIGINT end a program. Side effects: handlers of these two, a pipe, and a thread that reads it.

A handler in Python runs in the main thread, wherever that is. If that is within a method of the event that the handler
sets, both wait for the same lock for ever; and if it is stuck, nobody looks at the event. So the handlers do nothing,
and the thread learns of a signal from the pipe, to which the interpreter writes it.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cni import ready
from cni.deadline import Deadline

PATIENCE = 2.0  # seconds that the work has to end


@contextmanager
def setting(stop: threading.Event, give_up: Callable[[], None]) -> Iterator[None]:
    """Set `stop` at a signal; call `give_up`, in the thread, where the block has not ended PATIENCE seconds later.

    After the block the signals do what they did before. For the main thread only.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(writing, False)
    threading.Thread(target=_obey, args=(reading, stop, give_up), daemon=True).start()
    before_fd = signal.set_wakeup_fd(writing)
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before_fd)
        os.close(writing)  # this ends the thread


def _obey(reading: int, stop: threading.Event, give_up: Callable[[], None]) -> None:
    with open(reading, "rb", buffering=0) as pipe:
        if not pipe.read(1):
            return
        stop.set()
        deadline = Deadline(PATIENCE)
        while ready.to_read(reading, deadline.left()):
            if not pipe.read(1):
                return
    give_up()
