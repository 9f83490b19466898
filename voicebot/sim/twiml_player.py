"""TwiML: what a document asks of the line, and which verb comes next (Twilio TwiML docs).

Pure: the phone performs the verbs and fetches the documents.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree

from voicebot.errors import RemoteProtocolError

LONGEST_PARAMETER = 500  # characters of name and value together
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_COUNTRYMEN = ("voice", "language", "loop")
_KNOWN_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "Connect": ("action", "method"),
    "Stream": ("url", "name", "track", "statusCallback", "statusCallbackMethod"),
    "Parameter": ("name", "value"),
    "Say": _COUNTRYMEN,
    "Pause": ("length",),
    "Play": ("loop", "digits"),
    "Redirect": ("method",),
    "Hangup": (),
    "Reject": ("reason",),
    "Dial": (
        "action", "method", "timeout", "timeLimit", "callerId", "answerOnBridge", "hangupOnStar", "record", "ringTone",
        "sequential", "referUrl", "recordingStatusCallback", "recordingStatusCallbackEvent",
        "recordingStatusCallbackMethod",
    ),
    "Number": ("url", "method", "sendDigits", "statusCallback", "statusCallbackEvent", "statusCallbackMethod"),
    "Sip": ("url", "method", "username", "password", "statusCallback", "statusCallbackEvent", "statusCallbackMethod"),
    "Record": (
        "action", "method", "timeout", "finishOnKey", "maxLength", "playBeep", "trim", "recordingStatusCallback",
        "recordingStatusCallbackEvent", "recordingStatusCallbackMethod", "transcribe", "transcribeCallback",
    ),
}  # fmt: skip


class TwimlError(RemoteProtocolError):
    """A document is not TwiML the line can play. `code` is the vendor's number."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(code, problem)
        self.code, self.problem = code, problem

    def __str__(self) -> str:
        return f"{self.code} - {self.problem}"


# ---- verbs --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connect:
    """`<Connect><Stream>`: ends when the server closes the stream's socket."""

    url: str
    name: str | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    status_callback: str | None = None
    action: str | None = None
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Say:
    text: str
    loop: int = 1


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Play:
    """Either a file's address or keys (`w` waits half a second)."""

    url: str | None = None
    digits: str | None = None


@dataclass(frozen=True, slots=True)
class Redirect:
    url: str
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Hangup:
    pass


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the call; the line counts as busy or rejected and nothing is billed."""

    reason: str = "rejected"


@dataclass(frozen=True, slots=True)
class Dial:
    """Ring others; `targets` are numbers and SIP addresses as written."""

    targets: tuple[str, ...]
    action: str | None = None
    method: str = "POST"
    caller_id: str | None = None
    timeout_s: float = 30
    whisper_url: str | None = None  # asked once somebody answers, for what they are told before they are joined


@dataclass(frozen=True, slots=True)
class Record:
    """Record the caller after a tone; without words, the action is not asked and the next verb played.

    `finish_on_key` lists the keys that end it, `timeout_s` is the silence that does.
    """

    action: str | None = None
    method: str = "POST"
    timeout_s: float = 5
    finish_on_key: str = "1234567890*#"
    longest_s: float = 3600
    beep: bool = True
    status_callback: str | None = None


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A verb that this line cannot play."""

    name: str


Verb = Connect | Say | Pause | Play | Redirect | Hangup | Reject | Dial | Record | Unsupported


def detail_of(verb: Verb) -> str:
    """A verb's text, number, address or length."""
    match verb:
        case Connect(url) | Redirect(url):
            return url
        case Say(text):
            return text
        case Pause(seconds):
            return f"{seconds:g} s"
        case Play(url, digits):
            return digits or url or ""
        case Dial(targets):
            return ", ".join(targets)
        case Reject(reason):
            return reason
        case Record(longest_s=longest_s):
            return f"at most {longest_s:g} s"
        case Unsupported(name):
            return name
        case Hangup():
            return ""


@dataclass(frozen=True, slots=True)
class Document:
    """A document's verbs in order, and what the vendor would warn of (12200)."""

    verbs: tuple[Verb, ...]
    warnings: tuple[str, ...] = ()


def parse_twiml(text: str, url: str) -> Document:
    """Read a TwiML document that was fetched from `url`; relative addresses are resolved against it.

    Raises:
        TwimlError: 12100 when it is not TwiML, 12200 when a verb lacks what it needs.
    """
    try:
        root = ElementTree.fromstring(text.encode())
    except ElementTree.ParseError as exc:
        raise TwimlError("12100", f"document parse failure: {exc}") from exc
    if root.tag != "Response":
        raise TwimlError("12100", f"the root element is <{root.tag}>, not <Response>")
    verbs = tuple(_verb(element, url) for element in root)
    misplaced = [] if not any(isinstance(verb, Reject) for verb in verbs[1:]) else ["<Reject> is not the first verb"]
    return Document(verbs, tuple(_unknown_attributes(root) + misplaced))


def _verb(element: ElementTree.Element, base: str) -> Verb:
    text = (element.text or "").strip()
    match element.tag:
        case "Connect":
            return _connect(element, base)
        case "Say":
            return Say(" ".join("".join(element.itertext()).split()), loop=int(_number(element, "loop", 1)))
        case "Pause":
            return Pause(_number(element, "length", 1))
        case "Play":
            return Play(urljoin(base, text) if text else None, element.get("digits"))
        case "Redirect":
            return Redirect(urljoin(base, text), _method(element))
        case "Hangup":
            return Hangup()
        case "Reject":
            return Reject(element.get("reason", "rejected"))
        case "Dial":
            return _dial(element, base)
        case "Record":
            return _record(element, base)
    return Unsupported(element.tag)


def _connect(element: ElementTree.Element, base: str) -> Verb:
    stream = element.find("Stream")
    if stream is None:
        return Unsupported(f"Connect/{element[0].tag if len(element) else 'nothing'}")
    callback = stream.get("statusCallback")
    return Connect(
        url=_stream_url(stream.get("url", ""), base),
        name=stream.get("name"),
        parameters=tuple(_parameter(child) for child in stream.findall("Parameter")),
        status_callback=urljoin(base, callback) if callback else None,
        action=_action(element, base),
        method=_method(element),
    )


def _stream_url(written: str, base: str) -> str:
    """The socket's address as written, or resolved; plain `ws` is for loopback alone."""
    if not written:
        raise TwimlError("12200", "<Stream> has no url")
    url = urljoin(base, written)
    scheme = {"https": "wss", "http": "ws"}.get(urlsplit(url).scheme)
    url = url if scheme is None or urlsplit(written).scheme else scheme + url[url.index(":") :]
    parts = urlsplit(url)
    if parts.scheme != "wss" and not (parts.scheme == "ws" and parts.hostname in _LOOPBACK):
        raise TwimlError("31923", f"<Stream> url must be wss: {written}")
    return url


def _parameter(element: ElementTree.Element) -> tuple[str, str]:
    name, value = element.get("name", ""), element.get("value", "")
    if not name:
        raise TwimlError("12200", "<Parameter> has no name")
    if len(name) + len(value) >= LONGEST_PARAMETER:
        raise TwimlError("12200", f"<Parameter> {name!r} is longer than {LONGEST_PARAMETER} characters")
    return name, value


def _dial(element: ElementTree.Element, base: str) -> Dial:
    nouns = [(child.text or "").strip() for child in element]
    plain = (element.text or "").strip()
    targets = tuple(target for target in [plain, *nouns] if target)
    if not targets:
        raise TwimlError("13221", "<Dial> has nobody to ring")
    timeout_s = _number(element, "timeout", 30)
    whispers = (urljoin(base, url) for child in element if (url := child.get("url")))
    caller_id = element.get("callerId")
    return Dial(targets, _action(element, base), _method(element), caller_id, timeout_s, next(whispers, None))


def _record(element: ElementTree.Element, base: str) -> Record:
    callback = element.get("recordingStatusCallback")
    return Record(
        action=_action(element, base),
        method=_method(element),
        timeout_s=_number(element, "timeout", 5),
        finish_on_key=element.get("finishOnKey", "1234567890*#"),
        longest_s=_number(element, "maxLength", 3600),
        beep=element.get("playBeep", "true").lower() != "false",
        status_callback=urljoin(base, callback) if callback else None,
    )


def _action(element: ElementTree.Element, base: str) -> str | None:
    action = element.get("action")
    return urljoin(base, action) if action else None


def _method(element: ElementTree.Element) -> str:
    return element.get("method", "POST").upper()


def _number(element: ElementTree.Element, name: str, default: float) -> float:
    written = element.get(name)
    if written is None:
        return default
    try:
        return float(written)
    except ValueError:
        raise TwimlError("12200", f"<{element.tag}> {name} is not a number: {written!r}") from None


def _unknown_attributes(root: ElementTree.Element) -> list[str]:
    return [
        f"<{element.tag}> has no attribute {name!r}"
        for element in root.iter()
        for name in element.attrib
        if element.tag in _KNOWN_ATTRIBUTES and name not in _KNOWN_ATTRIBUTES[element.tag]
    ]


# ---- what comes next ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask the server for the next document; `fields` go beside those of every request."""

    url: str
    method: str = "POST"
    fields: tuple[tuple[str, str], ...] = ()


Order = Verb | Fetch


class TwimlPlayer:
    """Walks through documents. An order of None means that there is no more to do: the line hangs up."""

    def __init__(self) -> None:
        self._verbs: deque[Verb] = deque()
        self._playing: Verb | None = None

    def load(self, document: Document) -> Order | None:
        """Drop what was left of the last document and begin this one."""
        self._verbs = deque(document.verbs)
        return self.next()

    def next(self) -> Order | None:
        """The verb is over, or never began: go on with the one behind it."""
        self._playing = self._verbs.popleft() if self._verbs else None
        return self._playing

    def finished(self, fields: Mapping[str, str] | None = None) -> Order | None:
        """The verb is over with these results: a verb with an action asks for it, and those behind it are dropped."""
        if isinstance(self._playing, Redirect):
            return Fetch(self._playing.url, self._playing.method)
        if isinstance(self._playing, Connect | Dial | Record) and self._playing.action:
            return Fetch(self._playing.action, self._playing.method, tuple((fields or {}).items()))
        if isinstance(self._playing, Hangup | Reject):
            return None
        return self.next()
