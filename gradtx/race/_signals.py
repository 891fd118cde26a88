"""The handling of Ctrl-C and SIGTERM."""

import os
import signal
from types import FrameType


class Signals:
    """Handlers of SIGINT and SIGTERM within a `with` block.

    A signal is stored in `received`, and the race stops between two steps. No import, step or writing of a file is
    interrupted. While `saving` is false there is nothing to lose, and a second signal ends the process at once.
    """

    received: int | None = None
    saving = False

    def __enter__(self) -> "Signals":
        self._previous = {s: signal.signal(s, self._handle) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        if self.received is not None:
            self.saving = True  # the process ends soon
            return
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal has been received."""
        if self.received is not None:
            raise KeyboardInterrupt

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        again, self.received = self.received is not None, number
        if again and not self.saving:
            os.write(2, f"{NOTHING}\n".encode())
            os._exit(128 + number)


NOTHING = "gradtx race: interrupted before training; nothing was written"
