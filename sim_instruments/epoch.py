"""The moment at which every simulated bench begins. Instruments that tell the time of day add the
bench's simulated time to it, so that a seeded run says the same bytes whenever it is made."""

from datetime import UTC, datetime

EPOCH = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
