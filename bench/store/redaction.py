"""Taking passwords and keys out of text before anybody sees it: logs, tags, reports, errors.

Of a URL stays what is known to be harmless: scheme, host, path, and the values of a few query keys. Elsewhere a word
such as `password`, `api_key` or `Authorization` hides what follows it. The time taken is linear in the text's length,
so every pattern here begins with fixed characters and looks no further than the next line, space or quote.
"""

from __future__ import annotations

import os
import re

HARMLESS = frozenset(
    ("application_name", "cache", "client_encoding", "connect_timeout", "dbname", "host", "mode", "page", "port")
) | {"sslmode", "step", "timeout"}
"""Keys of a URL's query whose values are shown."""

_SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY")

# `://name:password@`, in which SQLAlchemy takes every character but `@` for the password, spaces and slashes too. Of
# HTTP a number before a space is a port.
_SPACED = re.compile(
    r"(?<!http)(?<!https)://[^\s:/@]*:[^@]*@|(?:(?<=http)|(?<=https))://[^\s:/@]*:(?!\d+\s)[^@]*@", re.IGNORECASE
)
_USER = re.compile(r"://[^/@:]*[:@]")
_SPACE = re.compile(r"([ \t\r\f\v]+)")
_PARTS = re.compile(r"([?&;#])")
_PLAIN = re.compile(r"[\w.,:/*+-]*")

_QUOTED = r"[bru]{0,2}\"(?:[^\"\\\n]|\\.)*\"|[bru]{0,2}'(?:[^'\\\n]|\\.)*'"
# "an unexpected token: x" is prose, "token: x" and "token=x" are not.
_PROSE = "token|signature|credentials?|secret"
_WORDS = (
    r"passw(?:or)?d|passphrase|(?:api|access|account|private|secret)[-_ ]?key"
    rf"|(?<![a-z] )(?:{_PROSE})|(?:{_PROSE})(?==)"
)
_IS = r"['\"]?\s{0,8}(?:=>|[=:])\s{0,8}"
_NAMED = re.compile(rf"((?:{_WORDS}){_IS})(?:{_QUOTED}|[^\s&]+)", re.IGNORECASE)
_HEADER = re.compile(rf"((?:authorization|cookie){_IS})(?:{_QUOTED}|[^\n]+)", re.IGNORECASE)
_BEARER = re.compile(r"(bearer\s{1,8})[\w.~+/=-]+", re.IGNORECASE)


def redact(text: str) -> str:
    """Text for logs, tags and reports: what may be secret in it replaced by `***`."""
    if "://" in text:
        text = "\n".join(map(_line, text.split("\n")))
    for pattern in (_HEADER, _NAMED) if "=" in text or ":" in text else ():
        text = pattern.sub(r"\1***", text)
    text = _BEARER.sub(r"\1***", text)
    for name in _SECRETS:
        secret = os.environ.get(name, "")
        if len(secret) >= 4:
            text = text.replace(secret, "***")
    return text


def _line(line: str) -> str:
    last = line.rfind("@") + 1  # so that a look for an `@` always finds one, and none is looked for twice
    line = _SPACED.sub(r"://***@", line[:last]) + line[last:]
    return "".join(_url(word) if "://" in word else word for word in _SPACE.split(line))


def _url(word: str) -> str:
    """A word with a URL in it, without that URL's name and password and without the unknown values of its query."""
    last = word.rfind("@")
    user = _USER.search(word, 0, last + 1)
    if user:
        word = f"{word[: user.start()]}://***{word[last:]}"
    begin = word.index("://")
    address, *query = _PARTS.split(word[begin:])
    shown = [word[:begin], address]
    for mark, item in zip(query[::2], query[1::2], strict=True):
        key, equals, value = item.partition("=")
        if equals:
            known = key.lower() in HARMLESS and _PLAIN.fullmatch(value)
            shown += [mark, item if known else f"{key}=***"]
        else:
            shown += [mark, item if mark == "#" or not item else "***"]
    return "".join(shown)
