"""Pure decisions: no I/O, no clock, no threads, no logging.

Each file holds one decision as a plain object: methods take ``now``, change
state in one place, and return what to do. ``check()`` verifies the object's own
rules and is called after every step of every property test.
"""

__all__: list[str] = []
