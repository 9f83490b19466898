"""Recording of calls: both sides aligned as the line carried them, streamed to disk, sealed if there is a key."""
