"""The version, alone in a module so that a build reads it without importing anything."""

__version__ = "1.0.0"
