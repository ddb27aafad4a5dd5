"""
Where every number of the slab lies; nothing but arithmetic and constants.

The slab is one sparse memfd of 64-bit words. Pages that nobody touches cost
nothing, so the layout is generous and never moves::

    header page          the tree's state, one row of eight words a worker
    services             64 words a service slot: epoch, floor, two weight rows
    seen                 one table of 16-bit seconds a version: units seen lately
    worker region 0      header page, 8 words a service slot, then the cells
    worker region 1 ...

A *cell* counts one arm of one service on one route (route 0 is all of them).
An arm is a version, or ``control`` (a slice of stable), or ``mirror``.

Every word has exactly one writer:

- header: the supervisor, but for the ``CONTROL_*`` words (control);
- services: control; seen: any worker (idempotent);
- a worker region: that worker, and the supervisor before it spawns a
  replacement (gauges to zero); evidence banks are zeroed by control while no
  live epoch names them, and so are the copies of what was judged (``C_JUDGED``).
"""

from proxy.model.buckets import BUCKET_COUNT
from proxy.model.vocabulary import CODE_COUNT, UNIT_BUCKETS

WORD_BYTES = 8
PAGE_WORDS = 512
LAYOUT_MAGIC = 0x4845414447415402
"""``HEADGAT`` and the layout's version; a slab with another is refused."""

WORKERS_MAX = 48
"""Rows for workers in the header page."""
SERVICES_MAX = 1024
VERSIONS_MAX = 15
"""Versions of one service: what fits in a weight row."""
SEEN_MAX = 4096
"""Versions, over all services, that can count each unit's bucket once."""
CELLS_MAX = 8192
ROUTES_MAX = 32
EVENTS_MAX = 24
"""Business events of one service that a cell has words for."""

# --- header page (word indexes) ---
H_MAGIC = 0
H_WORKERS = 1
H_DRAINING = 2  # 0 serving, 1 draining
H_CONTROL_BEAT_MS = 3  # CLOCK_MONOTONIC
H_CONTROL_READY = 4  # 1 once the store was replayed after a cold start
H_GENERATION = 5  # of the newest table (control)
H_STARTED_AT_S = 6  # Unix time
H_CONTROL_RESTARTS = 7
H_WORKER_ROWS = 64
W_ROW_WORDS = 8
WR_PID = 0
WR_STATE = 1  # WorkerState
WR_RESTARTS = 2
STATE_STARTING = 0
STATE_READY = 1
STATE_DEAD = 2
STATE_DRAINING = 3

# --- services area ---
SERVICES_BASE = PAGE_WORDS
SERVICE_WORDS = 64
S_EPOCH = 0  # row = epoch & 1; flipped last
S_FLOOR = 1  # completions of an epoch below it are late
S_ROWS = 2
ROW_WORDS = 16  # entries (version index << 32 | upper bound), the last bound 100000
S_CHECKS = S_ROWS + 2 * ROW_WORDS  # + version: what health checks say of its endpoints
S_SLOW = SERVICE_WORDS - 1  # latency bucket from which an answer is slow; 0: none is
CHECKED_MAX = 48
"""Endpoints of a version that have a bit (set: down) in its word of checks."""
CHECK_TAG_SHIFT = 48
CHECK_BITS_MASK = (1 << CHECK_TAG_SHIFT) - 1
ROW_BOUND_MASK = 0xFFFFFFFF
ROW_VERSION_SHIFT = 32
RING_PLACE = ROW_WORDS - 1  # the last word of a row; versions take those before it
RING_MARK = 1 << 16  # set above the bound: not a version but rings
RING_ALL = 1 << 8  # the canary's bound is meant for every request, not for rings only
RING_COUNT_MASK = 0xFF  # so many rings of the table are open, the first ones

# --- seen area: UNIT_BUCKETS 16-bit seconds a table ---
SEEN_BASE = SERVICES_BASE + SERVICES_MAX * SERVICE_WORDS
SEEN_WORDS = -(-UNIT_BUCKETS * 2 // WORD_BYTES // PAGE_WORDS) * PAGE_WORDS + PAGE_WORDS

# --- worker region ---
REGIONS_BASE = SEEN_BASE + SEEN_MAX * SEEN_WORDS
R_BEAT_MS = 0  # CLOCK_MONOTONIC, every sweep
R_GENERATION = 1  # oldest table generation still in use
R_READY = 2
R_DOWNSTREAM = 3  # open client connections (gauge)
R_UPSTREAM_ACTIVE = 4  # gauge
R_UPSTREAM_IDLE = 5  # gauge
R_ACCESS_LOG_DROPPED = 6
R_CALLBACK_ERRORS = 7  # exceptions stopped at a protocol callback
R_DOWNSTREAM_TOTAL = 8
R_MIRROR_INFLIGHT = 9  # gauge
R_TABLE_GENERATION = 10  # newest table generation in use
R_REJECTED = 64  # + Rejection
REGION_SERVICES = PAGE_WORDS
REGION_SERVICE_WORDS = 8
RS_TRIP = 0  # the epoch in which fail-fast tripped here; 0 never
RS_LATE = 1  # completions that came after their epoch's bank was closed
RS_UNROUTED_EPOCH = 2  # reserved
REGION_CELLS = REGION_SERVICES + SERVICES_MAX * REGION_SERVICE_WORDS

# --- cell ---
C_INFLIGHT = 0  # gauge
C_ROUTED = 1  # live requests routed to this arm
C_BYTES_IN = 2  # request body bytes from clients
C_BYTES_OUT = 3  # response body bytes to clients
C_LATENCY_SUM_US = 4
C_TTFB_SUM_US = 5
C_RETRY_OK = 6
C_RETRY_FAILED = 7
C_RETRY_OVER_BUDGET = 8
C_SHIELDED = 9
C_POOL_ACTIVE = 10  # gauge, route 0 only
C_POOL_IDLE = 11  # gauge, route 0 only
C_EJECTED = 12  # gauge, route 0 only: endpoints that failed again and again
C_AGAIN = 13  # attempts that were not a request's first; they are in C_ATTEMPTS too
C_AGAIN_FAILED = 14  # those of them that failed
C_JUDGED_EPOCH = 15  # whose evidence lies in C_JUDGED, plus 1 (written by control)
C_MIRROR = 16  # + MirrorOutcome, in the mirror arm
C_PAIRS = 32  # + PairOutcome, in the mirror arm
C_FLAGS = 40  # + Flag: attempts that ended with it
C_TOP_BUCKET = 60  # gauge, route 0 only: bucket of the unit seen again most often
C_TOP_HITS = 61  # gauge: how many of the looks found it
C_TOP_LOOKS = 62  # gauge: looks that found any unit again
C_EVENTS = 64  # + word of the event, route 0 only: answers that were one
C_REQUESTS = 96  # + status code that the user got (0: none)
C_ATTEMPTS = C_REQUESTS + CODE_COUNT
C_LATENCY = C_ATTEMPTS + CODE_COUNT
C_TTFB = C_LATENCY + BUCKET_COUNT
C_BANKS = C_TTFB + BUCKET_COUNT

# --- evidence bank (two a cell, bank = epoch & 1) ---
B_ROUTED = 0  # evidence requests routed in this epoch
B_TRIALS = 1  # trials of business events opened in this epoch
B_OPEN = 2  # evidence requests without an outcome, once a second (gauge)
B_EVENTS = 8  # + word of the event, route 0 only
B_CODES = 32  # + outcome code
B_LATENCY = B_CODES + CODE_COUNT
B_TTFB = B_LATENCY + BUCKET_COUNT
B_CENSORED = B_TTFB + BUCKET_COUNT  # age at the end of those without a good answer
B_AGES = B_CENSORED + BUCKET_COUNT  # ages of those in flight, once a second (gauge)
BANK_WORDS = B_AGES + BUCKET_COUNT

# --- and what of the present bank was judged: a copy, written by control ---
C_JUDGED = C_BANKS + 2 * BANK_WORDS

CELL_WORDS = -(-(C_JUDGED + BANK_WORDS) // PAGE_WORDS) * PAGE_WORDS
REGION_WORDS = REGION_CELLS + CELLS_MAX * CELL_WORDS


def slab_bytes(workers: int) -> int:
    """Return the size of a slab for ``workers`` workers, in bytes."""
    return (REGIONS_BASE + workers * REGION_WORDS) * WORD_BYTES


def service_base(slot: int) -> int:
    """Return the first word of a service slot."""
    return SERVICES_BASE + slot * SERVICE_WORDS


def seen_byte_offset(table: int) -> int:
    """Return the first byte of a seen table."""
    return (SEEN_BASE + table * SEEN_WORDS) * WORD_BYTES


def region_base(worker: int) -> int:
    """Return the first word of a worker's region."""
    return REGIONS_BASE + worker * REGION_WORDS


def cell_offset(cell: int) -> int:
    """Return the first word of a cell, counted from its region's start."""
    return REGION_CELLS + cell * CELL_WORDS


def bank_offset(epoch: int) -> int:
    """Return the first word of an epoch's bank, counted from its cell's start."""
    return C_BANKS + (epoch & 1) * BANK_WORDS
