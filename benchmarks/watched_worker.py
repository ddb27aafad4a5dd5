"""A worker that writes down its longest garbage collection: ``FILE ... LAUNCH``."""

import gc
import sys
from pathlib import Path
from time import thread_time

from proxy.dataplane.__main__ import main


class Watch:
    """Measures each collection in CPU time, which no other process stretches."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.began_s = 0.0
        self.longest_s = 0.0

    def __call__(self, phase: str, _: dict[str, int]) -> None:
        """Note the time; the first collection, of the start, is not counted."""
        if phase == "start":
            self.began_s = thread_time()
            return
        took_s = thread_time() - self.began_s
        if gc.get_freeze_count() and took_s > self.longest_s:
            self.longest_s = took_s
            self.file.write_text(f"{took_s * 1000:.2f}")


if __name__ == "__main__":
    gc.callbacks.append(Watch(Path(sys.argv[1])))
    sys.argv[1:] = sys.argv[-1:]
    main()
