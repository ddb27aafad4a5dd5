"""
Coverage-guided fuzzing of the parsers: ``python tests/fuzz/guided.py heads 60``.

atheris evolves inputs by the branches of ``proxy.http1`` that they reach, from
``corpus/`` on, and calls the same properties as the tests. What it finds to be of
interest is kept in ``.fuzz/`` and goes on from there at the next run; a failing
input is written there too and shown on stderr, with an exit code that is not 0.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KEPT = HERE.parents[1] / ".fuzz"
INPUT_BYTES_MAX = 4_096
TARGETS = ("heads", "chunks", "answers")

WORDS = (
    "HTTP/1.1",
    "HTTP/1.0",
    "Content-Length: ",
    "Transfer-Encoding: chunked",
    "Connection: ",
    "Host: a",
    "\\x0d\\x0a",
    "\\x0d\\x0a\\x0d\\x0a",
    "0\\x0d\\x0a\\x0d\\x0a",
    "GET / ",
    "OPTIONS * ",
    "http://a",
    "Max-Forwards: ",
    "Upgrade: ",
    "Via: ",
    "chunked, ",
)


def main() -> None:
    """Fuzz one target for some seconds."""
    if len(sys.argv) != 3 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(TARGETS)} SECONDS")
    kind, seconds = sys.argv[1], int(sys.argv[2])
    sys.path.insert(0, str(HERE.parents[1]))
    try:
        # Not for every machine: it has wheels for some, and no type stubs.
        atheris: Any = importlib.import_module("atheris")
    except ModuleNotFoundError:
        sys.exit("atheris is missing: it has wheels for Linux on x86_64 only")
    with atheris.instrument_imports(include=["proxy.http1"]):
        properties = importlib.import_module("tests.fuzz.properties")
    kept = KEPT / kind
    kept.mkdir(parents=True, exist_ok=True)
    words = KEPT / "words"
    words.write_text("".join(f'"{word}"\n' for word in WORDS))
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={seconds}",
            f"-max_len={INPUT_BYTES_MAX}",
            f"-dict={words}",
            f"-artifact_prefix={KEPT}/",
            "-print_final_stats=1",
            "-verbosity=0",
            str(kept),
            str(HERE / "corpus" / kind),
        ],
        properties.CHECKS[kind],
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
