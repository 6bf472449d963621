"""The way back to a client that is the test itself."""


class Heard:
    """Stands in for the line of `sim_instruments.wire`: keeps what is sent."""

    def __init__(self) -> None:
        self.data = b""

    def send(self, data: bytes) -> None:
        self.data += data

    def take(self) -> str:
        """What has been sent since the last time, as text without its last line end."""
        data, self.data = self.data, b""
        return data.decode("latin-1").removesuffix("\n").removesuffix("\r")
