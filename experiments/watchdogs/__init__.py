"""Watchdogs: failures that crews of such testbeds know, watched for while a measurement goes on (testbeds.md
1.8).

One file for each failure says how it shows, with which chance of a false alarm, and what remedy there is.
`watch` asks them at safe points, and keeps the data free of what they found.
"""
