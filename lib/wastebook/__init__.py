"""Wastebook: a report book on telling waste apart in photos, and the library its chapters stand on."""

from importlib.metadata import version

__version__ = version("wastebook")
