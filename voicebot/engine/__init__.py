"""The guided phase engine: events in, effects out, told the time; it performs nothing itself."""
