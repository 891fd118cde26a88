"""What Ctrl-C and SIGTERM do."""

import os
import signal


class Signals:
    """SIGINT and SIGTERM, for the length of a `with` block.

    They are noted in `received` and acted upon between two steps, so that no import, step or writing of a file
    is ever cut in two, by a second Ctrl-C either. Only while there is nothing to lose, which `saving` tells, does
    a second one end the process there and then.
    """

    received: int | None = None
    saving = False

    def __enter__(self) -> "Signals":
        self._previous = {s: signal.signal(s, self._handle) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_) -> None:
        if self.received is not None:
            self.saving = True  # the process is about to end by itself
            return
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Stop if told to."""
        if self.received is not None:
            raise KeyboardInterrupt

    def _handle(self, number: int, _frame) -> None:
        again, self.received = self.received is not None, number
        if again and not self.saving:
            os.write(2, f"{NOTHING}\n".encode())
            os._exit(128 + number)


NOTHING = "gradtx race: interrupted before training; nothing was written"
