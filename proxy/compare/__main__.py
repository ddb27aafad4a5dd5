"""The compare process: the supervisor starts ``python -m proxy.compare LAUNCH``."""

import sys

from proxy.compare.process import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
