"""
Every error that Headgate raises on purpose, as one tree.

::

    HeadgateError                 one clear sentence, safe to show to a user
    ├── SettingsError             the configuration is invalid (exit code 3, HTTP 422)
    ├── NotFoundError             no such service, rollout or decision (HTTP 404)
    ├── ConflictError             the phase does not allow the change (HTTP 409)
    ├── RequestError              an admin request that is malformed or not allowed
    ├── StoreError                the embedded store is torn, foreign or locked
    │   └── StoreConflictError    somebody else saved a newer revision
    ├── RecordingError            a file is no recording of a rollout
    ├── TableError                a route table document that cannot be compiled
    ├── StartError                the process tree cannot start (address in use, limits)
    ├── ChannelError              a process of the tree broke the message protocol
    └── AdminError                the admin API refused or cannot be reached
        └── AdminUnreachableError nobody answers there (exit code 4)

On the data plane an expected failure is an outcome, not an exception:
nothing of this tree crosses a protocol callback.
"""


class HeadgateError(Exception):
    """Base of the tree; ``str(error)`` is one sentence for the user."""


class SettingsError(HeadgateError):
    """
    The configuration cannot be used; nothing of it was applied.

    ``problems`` holds one line a mistake, ``FILE:LINE:COLUMN: path: what is
    wrong``, in the order of the file.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class NotFoundError(HeadgateError):
    """The thing that was named does not exist."""


class ConflictError(HeadgateError):
    """The change is understood, but not allowed in the present phase."""


class RequestError(HeadgateError):
    """
    An admin request that is malformed or not allowed, whatever the phase.

    ``status`` is the HTTP status to answer (4xx or 503), ``reason`` one word
    in CamelCase that programs may read.
    """

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason


class StoreError(HeadgateError):
    """The embedded store cannot be read or written."""


class StoreConflictError(StoreError):
    """A compare-and-swap lost: the saved revision is not the expected one."""


class RecordingError(HeadgateError):
    """A file is no recording, or not a whole one."""


class TableError(HeadgateError):
    """A route table document names something that does not exist."""


class StartError(HeadgateError):
    """The process tree cannot start, with the reason."""


class ChannelError(HeadgateError):
    """A message between the processes of the tree is too large or no message."""


class AdminError(HeadgateError):
    """The admin API refused a request; the message is its ``detail``."""


class AdminUnreachableError(AdminError):
    """No admin API answers at the address."""
