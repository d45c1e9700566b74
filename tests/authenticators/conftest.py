"""Hypothesis without deadlines: the machines that run this are shared, and key generation takes its time."""

from hypothesis import settings

settings.register_profile("authenticators", deadline=None, max_examples=80)
settings.load_profile("authenticators")
