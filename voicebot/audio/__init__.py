"""Audio: G.711 tables, the streaming resampler and the two formats a call can have."""
