"""Samples for the tests of redaction: secrets made up here, in the forms that vendors use."""

from __future__ import annotations

import random
import string
from pathlib import Path

_LETTERS = string.ascii_letters + string.digits
_chance = random.Random(20261121)


def made(count: int, alphabet: str = _LETTERS) -> str:
    """That many random characters with a letter and a digit among them."""
    return "a1" + "".join(_chance.choices(alphabet, k=count - 2))


HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + string.digits

#: What each detector must find, whole, wherever it stands.
SECRETS = {
    "api-key": [
        "AKIA" + "Q3" + made(16, UPPER).upper()[2:],
        "ghp_" + made(36),
        "github_pat_" + made(22) + "_" + made(59),
        "glpat-" + made(20),
        "xoxb-" + made(12, string.digits) + "-" + made(24),
        "sk-proj-" + made(48),
        "sk-ant-api03-" + made(60) + "_" + made(20) + "AA",
        "sk-" + made(48),
        "sk-or-v1-" + made(64, HEX),
        "gsk_" + made(52),
        "hf_" + made(34),
        "AIza" + made(35),
        "sk_live_" + made(24),
        "rk_test_" + made(24),
        "SG." + made(22) + "." + made(43),
        "npm_" + made(36),
        "pypi-AgEIcHlwaS5vcmc" + made(60),
        "dop_v1_" + made(64, HEX),
        "shpat_" + made(32, HEX),
        "hvs." + made(24),
        "123456789:AA" + made(33),
    ],
    "jwt": [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtYWRlLXVwIn0." + made(43),
    ],
    "private-key": [
        "-----BEGIN PRIVATE KEY-----\n"
        + made(64)
        + "\n"
        + made(40)
        + "==\n-----END PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE KEY-----\\n"
        + made(64)
        + "\\n-----END OPENSSH PRIVATE KEY-----",
    ],
    "email": [
        "ada.lovelace@example.org",
        "bob+tag@mail.example.co.uk",
        "jörg_1@bücher.example"[5:],
    ],
}

#: A text around a secret that its name gives away: before, the secret, after.
NAMED = [
    ("DB_PASSWORD=", "hunter2-and-more", "\n"),
    ("export PGPASSWORD='", "s3cr3t phrase", "'"),
    ('{"password": "', "correcthorse", '", "user": "ada"}'),
    ('{\\"client_secret\\": \\"', "Zx81-Zx81-Zx81", '\\"}'),
    ("api_key: ", "9f8e7d6c5b4a", " # staging"),
    ("https://ada:", "pw-12345", "@db.example.org/x"),
    ("curl -H 'Authorization: Bearer ", "abc.DEF-123_456", "' https://x"),
    ("Authorization: Basic ", "YWRhOnNlY3JldA==", "\r\n"),
    ("the password: ", "hunter2", " works"),
    ("ACCESS_TOKEN=", "a8Kd02lmQpz71VbnXe3R", " run"),
    ("?client_secret=", "qwe123rty456", "&scope=all"),
]

#: What nothing may be found in.
HARMLESS = [
    "The token count is 4096 and max_tokens=8192, temperature: 0.7",
    "password = getpass.getpass()",
    "def login(user: str, password: str, token: str | None = None) -> None:",
    "secret = os.environ['APP_SECRET']",
    'api_key=os.getenv("OPENAI_API_KEY")',
    "api_key: ${OPENAI_API_KEY}",
    "API_KEY=<your key here>",
    "password: ********",
    '"password": "your_password"',
    "client.auth(password=password, token=token)",
    "commit 3f786850e387550fdab836ed7e6dc881de23001b by CI",
    "uuid 123e4567-e89b-12d3-a456-426614174000",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "git@github.com:owner/repo.git",
    "see logo@2x.png and styles@3x.css, and @decorator",
    "import { x } from '@scope/package@1.2.3'",
    "PWD=/home/ada/project",
    "secretName: tls-certificate",
    "next_page_token: a8Kd02lmQpz71VbnXe3R",
    "He said: the password is in the safe.",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIexample",
    "sk-learn, task-force, risk-averse and ask-me-anything",
    "https://example.org/a:b/c?x=1#y",
    "token: string; secret: boolean; password?: string",
    "if (password == null) return;",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4",
]


def files_hold(path: Path, *needles: str) -> list[str]:
    """Which of these texts are in the raw bytes of a store's files, as they are or in JSON."""
    data = b"".join(one.read_bytes() for one in path.parent.glob(path.name + "*"))
    folded = data.lower()
    return [
        needle
        for needle in needles
        if needle.encode() in data
        or needle.encode("unicode_escape") in data
        or needle.lower().encode() in folded
    ]
