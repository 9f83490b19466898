"""A new project, as `voicebot init` makes it. `template/` holds what it is made of; that flow is rehearsed as any other."""
