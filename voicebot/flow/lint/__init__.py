"""The linter's rules, by what they look at; `voicebot.flow.check` runs them."""
