"""The control process: ``python -m proxy.admin LAUNCH``, started by the supervisor."""

import sys

from proxy.admin.serving import serve
from proxy.control.process import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1], serve))
