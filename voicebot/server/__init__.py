"""The server: where the parts are put together, their life cycle, and the routes."""
