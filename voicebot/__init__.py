"""Voicebot: a telephone voice agent that businesses can trust with their number."""

__version__ = "0.1.0"
