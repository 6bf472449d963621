"""Finding APT messages in the bytes that a line delivers, whatever stands between them."""

from drivers.polarization.apt import (
    DEVICE,
    HAS_DATA,
    HEADER,
    HOST,
    LONG_HEADER,
    ChannelEnable,
    ChannelStatusBits,
    GeneralMoveParameters,
    HardwareInfo,
    HomeParameters,
    JogParameters,
    Message,
    MoveCompleted,
    MoveHomed,
    MoveStopped,
    PolarizationParameters,
    PositionCounter,
    Status,
    UStatus,
    VelocityParameters,
)

FROM_DEVICE: dict[int, type[Message]] = {
    message.message_id: message
    for message in (
        HardwareInfo, ChannelEnable, PositionCounter, MoveHomed, MoveCompleted, MoveStopped, UStatus, Status,
        ChannelStatusBits, PolarizationParameters, VelocityParameters, JogParameters, GeneralMoveParameters,
        HomeParameters,
    )
}  # fmt: skip
CHANNELS = (1, 2, 4)
"""Channels are bit values; thorlabs_mpc320.md, Frames."""
LONGEST_UNKNOWN = 255
"""Data bytes that we believe of a message we do not know (invented; the longest in the notes has 84)."""


class AptDecoder:
    """Cuts what a device sends into messages; messages it does not know are skipped whole.

    The protocol has no mark for the start of a frame. After garbage we look for it byte by byte: a header
    counts when it goes from the device to the host, when its length is the one its id has, and, once the
    data are here, when they name a channel that can exist. A cut frame therefore costs at most the frame
    that follows it, or nothing when the channel gives the mistake away.
    """

    def __init__(self) -> None:
        self._pending = bytearray()

    def reset(self) -> None:
        """Forget a frame that has begun."""
        self._pending.clear()

    def feed(self, data: bytes) -> list[Message]:
        """Take the next bytes and return the messages that are now whole."""
        self._pending += data
        messages = []
        while len(self._pending) >= HEADER.size:
            size = self._frame_size()
            if size is not None and len(self._pending) < size:
                break
            message = None if size is None else self._message(bytes(self._pending[:size]))
            if size is None or message is None:
                del self._pending[0]
                continue
            del self._pending[:size]
            if type(message) is not Message:
                messages.append(message)
        return messages

    def _frame_size(self) -> int | None:
        """The size of the frame whose header stands first, None when that is no header."""
        message_id, length, to, source = LONG_HEADER.unpack_from(self._pending)
        if to & ~HAS_DATA != HOST or source != DEVICE:
            return None
        kind = FROM_DEVICE.get(message_id)
        if not to & HAS_DATA:
            bare = kind is None or kind.layout is None or kind.bare_allowed
            return HEADER.size if bare else None
        if kind is None:
            return HEADER.size + length if length <= LONGEST_UNKNOWN else None
        return HEADER.size + length if kind.layout is not None and length == kind.layout.size else None

    @staticmethod
    def _message(frame: bytes) -> Message | None:
        """The message in a whole frame, a bare `Message` for an unknown one, None when it cannot be."""
        kind = FROM_DEVICE.get(HEADER.unpack_from(frame)[0])
        if kind is None:
            return Message()
        message = kind.from_bytes(frame)
        if kind.layout is not None and getattr(message, "channel", CHANNELS[0]) not in CHANNELS:
            return None
        return message
