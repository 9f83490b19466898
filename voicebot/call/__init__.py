"""The call itself: a sans-I/O core, the ledger of what was heard, and the thin session that moves the bytes."""
