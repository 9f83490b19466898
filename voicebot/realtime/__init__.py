"""The Realtime API: its events, the conversation with its one writer, and the leg to the model."""
