"""The load of `voicebot load`: phones and a model around a server, lean enough not to be the limit themselves."""
