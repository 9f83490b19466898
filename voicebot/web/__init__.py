"""The second caller's leg: PCM16 at 24 kHz over a WebSocket, for browsers and other programs; and a client of it."""
