"""Delivery: the report as a fold of the journal, its signature, and the worker that empties the outbox."""
