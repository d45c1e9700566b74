"""The bastion: what it is made of, room by room."""

from importlib.metadata import version

__version__ = version("sallyport")
