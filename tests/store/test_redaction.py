"""What is secret is never shown, wherever in a text it stands; what is not stays; and long texts take no time."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from retable.bench.judging import comparing
from retable.bench.store.places import StoreError, locate, redact

SAFE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
MARK = "Zq7Xw9"
"""Stands in every secret: no part of a secret survives, its middle least of all."""

DATABASES = st.sampled_from(["postgresql", "postgresql+psycopg", "postgres", "mysql+pymysql", "POSTGRESQL"])
SERVERS = st.sampled_from(["http", "https", "HTTP", "ftp", "s3"])
SECRET = st.builds(
    lambda a, b: a + MARK + b,
    *[st.text(st.characters(exclude_characters="@\n", exclude_categories=["Cs"]), max_size=8)] * 2,
)
TOKEN = st.builds(lambda a, b: a + MARK + b, *[st.text(SAFE + "/:.~+=%!$'()*,-_", max_size=8)] * 2)
NAME = st.text(SAFE + "._-%", max_size=8)
HOST = st.sampled_from(["host", "host:5432", "127.0.0.1:5000", "[::1]:80", "db.example.org", "h"])
TAIL = st.sampled_from(["", "/", "/db", "/a/b?sslmode=require", "/db?host=x&port=5", "/#/experiments/1", "/a@v1"])
AROUND = st.sampled_from(
    ["", " ", "could not connect to ", "'", '"', "(", "a@b.c ", "see http://h/x: ", "x=", "\n", "http://h:80 "]
)


@settings(max_examples=500, deadline=None)
@given(AROUND, DATABASES, NAME, SECRET, HOST, TAIL, AROUND)
def test_a_password_of_a_databases_url(
    before: str, scheme: str, name: str, secret: str, host: str, tail: str, after: str
) -> None:
    """SQLAlchemy takes everything up to an `@` for the password, raw slashes and spaces too."""
    shown = redact(f"{before}{scheme}://{name}:{secret}@{host}{tail}{after}")
    assert MARK not in shown and "***@" in shown


@settings(max_examples=400, deadline=None)
@given(AROUND, SERVERS, NAME, SECRET, HOST, TAIL, AROUND, st.booleans())
def test_a_password_of_a_servers_url(
    before: str, scheme: str, name: str, secret: str, host: str, tail: str, after: str, coded: bool
) -> None:
    text = f"{scheme}://{name}:{quote(secret, safe='') if coded else secret.replace(' ', '')}@{host}{tail}"
    assert MARK not in redact(before + text + after)


@settings(max_examples=300, deadline=None)
@given(AROUND, SERVERS, TOKEN, HOST)
def test_a_token_in_place_of_a_name(before: str, scheme: str, token: str, host: str) -> None:
    coded = token.replace("/", "%2F")
    assert MARK not in redact(f"{before}{scheme}://{coded}@{host}/x")


@settings(max_examples=400, deadline=None)
@given(AROUND, DATABASES | SERVERS, HOST, st.text(SAFE + "_-.[]%", max_size=9), TOKEN, st.sampled_from("?&;#"), NAME)
def test_a_value_in_a_query_under_any_key_that_is_not_known_to_be_harmless(
    before: str, scheme: str, host: str, key: str, secret: str, mark: str, other: str
) -> None:
    url = f"{scheme}://{host}/db?sslmode=require{mark}x{key}={secret}&y={other}"
    shown = redact(f"{before}{url} failed")
    assert MARK not in shown and "sslmode=require" in shown and shown.endswith(" failed")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://bench:pa55@host/db refused", "postgresql://***@host/db refused"),
        ("postgresql://bench:pa@55@host/db", "postgresql://***@host/db"),
        ("https://u:p@h:5000/api failed at http://h/x", "https://***@h:5000/api failed at http://h/x"),
        ("host=h password=pa55 user=u", "host=h password=*** user=u"),
        ("password=pa,55;x and more", "password=*** and more"),
        ("nothing secret: a@b.c", "nothing secret: a@b.c"),
    ],
)
def test_passwords_are_taken_out(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize("key", ["password", "token", "sslpassword", "odbc_connect", "pass%77ord", "user", "x", ""])
def test_query_keys_that_hide(key: str) -> None:
    assert redact(f"postgresql://h/db?host=a&{key}=abc&port=5") == f"postgresql://h/db?host=a&{key}=***&port=5"


def test_a_harmless_key_does_not_hide_a_url_with_a_password() -> None:
    assert "abc" not in redact("postgresql://h/db?host=u%3Aabc%40h") and "abc" not in redact("http://h/?host=u=abc")
    assert redact("http://h/?abc") == "http://h/?***" and redact("http://h/x?") == "http://h/x?"


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(
        [
            "password",
            "PASSWD",
            "db_password",
            "passphrase",
            "token",
            "access_token",
            "client_secret",
            "api_key",
            "apikey",
            "Api-Key",
            "X-Api-Key",
            "accountKey",
            "AWS_SECRET_ACCESS_KEY",
            "private_key",
            "signature",
            "credentials",
        ]
    ),
    st.sampled_from(
        ["={}", "='{}'", '="{}"', ": {}", "': '{}'", '": "{}"', " = {}", "=> {}", "='a b{}'", '": b"x {}"']
    ),
    st.text(SAFE + ".~+/=-_!$%:;,", min_size=1, max_size=9).map(lambda text: MARK + text),
    st.sampled_from(["", "{", "host=h; ", "-H '", "x: 1, ", '"', "export X_"]),
)
def test_a_named_secret_in_any_spelling(key: str, form: str, secret: str, before: str) -> None:
    assert MARK not in redact(f"{before}{key}{form.format(secret)} and more")


@pytest.mark.parametrize(
    "header",
    [
        "Authorization: Bearer {}",
        "authorization: Basic {}",
        "'Authorization': 'Digest a=\"b\", response={}'",
        "bearer {}",
        "Cookie: a=b; session={}",
        "Set-Cookie: s={}; Path=/",
        "X-Api-Key: {}",
        "X-Auth-Token: {}",
        "Bearer  {}",
    ],
)
def test_a_header(header: str) -> None:
    assert MARK not in redact(f"curl -H {header.format(MARK)}") and MARK not in redact(header.format(MARK) + "\nx")


def test_what_is_named_but_no_secret_stays() -> None:
    for text in (
        "an unexpected token: ')'",
        "tokens: 512",
        "the password is wrong",
        "secretary: Ann",
        "key=3",
        "a bearer",
    ):
        assert redact(text) == text


@settings(max_examples=400, deadline=None)
@given(st.text())
def test_a_text_without_urls_and_secrets_is_unchanged(text: str) -> None:
    words = ("://", "pass", "token", "key", "secret", "signature", "credential", "authorization", "cookie", "bearer")
    assume(not any(word in text.lower() for word in words))
    assert redact(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5000/#/experiments/1/runs",
        "sqlite:////home/me/mlruns/mlflow.db is locked; write to a@b.c",
        "http://h:5000 is away; write to a@b.c",
        "https://github.com/pytorch/vision@v0.2 and https://h/a/b.html#part",
        "postgresql+psycopg://h:5432/db?sslmode=require",
    ],
)
def test_a_url_without_secrets_is_unchanged(text: str) -> None:
    assert redact(text) == text


@settings(max_examples=300, deadline=None)
@given(st.text(SAFE[:3] + "://@?&=#; '\"pasword\n"))
def test_what_is_redacted_stays_as_it_is(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "name", ["PGPASSWORD", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY"]
)
def test_secrets_of_the_environment(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "hunt")
    assert redact("they said hunt here") == "they said *** here"
    monkeypatch.setenv(name, "cat")  # too short to be told from a word
    assert redact("a cat") == "a cat"


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "A-",
        "x://",
        "x://a:",
        "x://a:b@",
        "x://u:p ",
        "x://a b:",
        "http://a:1 ",
        "http://h?",
        "?a=",
        "@",
        "://",
        " ",
        "password",
        "password=",
        'password="',
        "password='\\",
        "token: '",
        "authorization",
        "bearer ",
        "\\",
        "a=b;",
    ],
)
def test_the_time_it_takes_is_linear(piece: str) -> None:
    """Eighty thousand characters took sixteen seconds; they take some hundredths of one."""

    def seconds(length: int) -> float:
        text = (piece * length)[:length]
        took = []
        for _ in range(3):
            began = time.process_time()
            redact(text)
            took.append(time.process_time() - began)
        return min(took)

    assert seconds(80_000) < 0.5
    assert seconds(80_000) < 30 * seconds(8_000) + 0.01


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:hunt er@h/db",
        "mysql://u:hunt/er@h",
        "oracle://u:hunt\ner@h/x?y=z",
        "sqlite://u:hunt er@h",
        "http://u:hunt/er@h",
        "http://u:hunt er@",
        "http://u:hunt/er@h:x",
        "https://[u:hunt@h",
        "http://u:hunt℀@h",
    ],
)
def test_a_url_that_is_refused_is_told_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreError) as refused:
        locate(tmp_path, url)
    assert "hunt" not in str(refused.value) and "'" in str(refused.value)
    if not url.startswith("http"):
        with pytest.raises(StoreError) as refused:
            locate(tmp_path, None, url)
        assert "hunt" not in str(refused.value)


def test_commands_that_name_a_store(project: Path) -> None:
    pytest.importorskip("psycopg", reason="needs the extra `postgres`")
    with pytest.raises(StoreError) as raised:
        comparing.compare("abc", "def", tracking="postgresql://u:hun/ter@127.0.0.1:9/db?password=hunter")
    assert "hun" not in str(raised.value) and "***@127.0.0.1:9/db" in str(raised.value)
