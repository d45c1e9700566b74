"""Properties have no deadline: the machine is shared, and a slow second says nothing about the code."""

from hypothesis import settings

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")
