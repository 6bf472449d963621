"""What labs use now, in an environment of its own, so that it never meets our dependencies.

`environment` sets it up, `worker` runs in it and knows nothing of ours, `process` drives the worker.
"""
