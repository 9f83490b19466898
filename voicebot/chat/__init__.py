"""A flow talked through in text: the call itself, with a caller who types and a model that writes."""
