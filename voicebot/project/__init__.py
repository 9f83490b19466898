"""A new project, as `voicebot init` makes it. What it is made of stands in `template/`."""
