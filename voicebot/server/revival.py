"""The flow that a call began with, from the JSON form in its journal: files may have changed since, or be gone."""

from __future__ import annotations

from voicebot.flow.alone import flow_alone
from voicebot.flow.json_form import functions_of
from voicebot.flow.loader import FlowShelf, LoadedFlow


def revive(name: str, version: str, document: str, shelf: FlowShelf) -> LoadedFlow:
    """The flow `name` as it was in `version`, from its JSON form.

    Its functions are those that the file of this name has now, by name. What is not there any more is stood in for: a
    tool says that it is not available, a guard or check counts as not answered.

    Raises:
        FlowError: the form is no flow.
    """
    present = shelf.flows.get(name)
    if present is not None and present.version == version:
        return present
    flow = flow_alone(document, present.functions if present is not None else {})
    return LoadedFlow(name, flow, version, document, None, functions_of(flow))
