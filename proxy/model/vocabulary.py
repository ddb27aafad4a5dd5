"""The field's words, as the configuration, the API and the metrics spell them."""

from enum import IntEnum, StrEnum

UNIT_BUCKETS = 100_000
"""A unit falls into one of these; one bucket is 0.001 % of the units."""


class Phase(StrEnum):
    """Where a rollout stands."""

    IDLE = "Idle"
    WAITING = "Waiting"
    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    PROMOTING = "Promoting"
    BAKING = "Baking"
    SUCCEEDED = "Succeeded"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"


class Reason(StrEnum):
    """Why a rollout stands there; empty where the phase says it all."""

    NONE = ""
    STEP_PAUSE = "StepPause"
    GATE_CLOSED = "GateClosed"
    NO_TRAFFIC = "NoTraffic"
    UNDECIDED = "Undecided"
    WARM_UP = "WarmUp"
    SLO_VIOLATED = "SloViolated"
    FAIL_FAST = "FailFast"
    SAMPLE_RATIO_MISMATCH = "SampleRatioMismatch"
    CONCENTRATED_UNITS = "ConcentratedUnits"
    NOISY_ENVIRONMENT = "NoisyEnvironment"
    MISMATCH = "Mismatch"
    FROZEN = "Frozen"
    MANUAL_PAUSE = "ManualPause"
    MANUAL_ABORT = "ManualAbort"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    SUPERSEDED = "Superseded"
    STABLE_UNHEALTHY = "StableUnhealthy"
    CAPACITY_LIMITED = "CapacityLimited"
    PROVIDER_ERROR = "ProviderError"
    STORE_UNAVAILABLE = "StoreUnavailable"
    UNJUDGED_REVISION = "UnjudgedRevision"


class Verdict(StrEnum):
    """What the evidence says."""

    PASS = "pass"
    FAIL = "fail"
    UNDECIDED = "undecided"


class Flag(IntEnum):
    """
    Outcome reasons with Envoy's short response flags as names.

    The number is the flag's place in the slab; numbers are never reused.
    """

    UF = 0  # upstream connection failure (refused, unreachable)
    UC = 1  # upstream connection terminated before a complete answer
    UT = 2  # upstream timeout (attempt, first byte, request or stream idle)
    UR = 3  # upstream reset the connection
    UPE = 4  # upstream protocol error: an answer that cannot be parsed
    UH = 5  # no healthy upstream endpoint
    UO = 6  # upstream overflow: the in-flight limit of the version
    NR = 7  # no route
    DC = 8  # downstream connection terminated
    DPE = 9  # downstream protocol error
    DT = 10  # downstream stalled past the send timeout
    URX = 11  # retries exhausted
    UCT = 12  # connecting took longer than the connect timeout
    SI = 13  # stream idle timeout


CODE_COUNT = 640
"""Status codes 0 to 599, then one place for each ``Flag``."""

FLAG_CODE_BASE = 600
"""An attempt that ended without a usable answer counts at this plus its flag."""


class Rejection(IntEnum):
    """Why the proxy itself refused a request; the number is the slab's place."""

    NO_ROUTE = 0
    BAD_REQUEST = 1
    TARGET_TOO_LONG = 2
    HEAD_TOO_LARGE = 3
    BODY_TOO_LARGE = 4
    TIMEOUT = 5
    VERSION = 6
    METHOD = 7
    NOT_IMPLEMENTED = 8
    OVERLOAD = 9
    EXPECTATION = 10
    LOOP = 11


class MirrorOutcome(IntEnum):
    """What became of one request that could have been mirrored."""

    ANSWERED = 0
    FAILED = 1
    TIMEOUT = 2
    SKIPPED_METHOD = 3
    SKIPPED_BODY = 4
    SKIPPED_INFLIGHT = 5
    SKIPPED_MEMORY = 6
    SKIPPED_UPGRADE = 7
    SKIPPED_SAMPLE = 8
    SKIPPED_ENDPOINT = 9
    SKIPPED_RANGE = 10
    SKIPPED_STOPPED = 11
    SKIPPED_ROUTE = 12
    SKIPPED_STREAM = 13


class PairOutcome(IntEnum):
    """
    What became of the answers to a request that was copied to be compared.

    The last three are none of them: they count the second answers asked of stable
    and, where requests are copied both ways, the copies each way.
    """

    HANDED = 0
    SKIPPED_QUEUE = 1
    SKIPPED_MEMORY = 2
    SKIPPED_LIVE = 3
    SKIPPED_STREAM = 4
    SECOND = 5
    TO_STABLE = 6
    TO_CANDIDATE = 7
