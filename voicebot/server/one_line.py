"""Text of strangers as one line: what would begin a line of its own, or move the cursor of a terminal, is spelt out."""

from __future__ import annotations

import re

# C0 and C1 control characters, Unicode's line ends, and the marks that turn the direction of what follows.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def one_line(text: str) -> str:
    """The text with every such character as its escape, as in `\\n` and `\\x1b`."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def one_line_each(text: str) -> str:
    """The same for a text of several lines, which it keeps."""
    return "\n".join(map(one_line, text.split("\n")))
