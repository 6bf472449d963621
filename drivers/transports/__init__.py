"""Transports: bytes to and from an instrument, with deadlines.

What holds for each: opening raises ConnectError with a remedy; one exchange at a time; whatever breaks
an exchange off (silence, an error, a cancellation) also drops the connection, and the next exchange
opens it anew, so that a late answer is never taken for the answer to the next question.
"""
