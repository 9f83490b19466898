"""Stores: the journal of every call, its report and the outbox, behind one contract."""
