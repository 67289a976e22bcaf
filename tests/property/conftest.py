"""Settings of the property tests."""

from hypothesis import settings

# The first example may import what torch loads late; that says nothing about the code.
settings.register_profile("optimkit", deadline=None, max_examples=60)
settings.load_profile("optimkit")
