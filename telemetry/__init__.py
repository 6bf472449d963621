"""What a run tells the world over MQTT while it goes on, and how others listen to it.

`messages` and `topics` are the contract, `publisher` is the run's side, `subscriber` the listener's, and
`broker` an embedded broker for when no real one is named. Import from these modules; importing the package
itself loads nothing.
"""
