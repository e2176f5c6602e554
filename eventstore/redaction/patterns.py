"""Detectors of keys and tokens that have a form of their own: vendors' API keys, JWTs, PEM blocks.

Each form begins with a text that rarely stands for anything else; what is looked for first is that
text, by `in`, so that a text without any costs little. The expressions have a fixed beginning, one
repetition of a class, and nothing that repeats a repetition: their time grows with the text alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

#: Nothing of the form's own characters stands before it, so that each run is looked at once.
_BEFORE = r"(?<![A-Za-z0-9_])"


class Form(NamedTuple):
    """The keys of a vendor: a text that is in each, and the expression they match."""

    hint: str
    pattern: re.Pattern[str]


def _form(hint: str, rest: str, *, begin: str | None = None) -> Form:
    """The keys that begin with `hint` (or match `begin`) and go on as `rest`."""
    return Form(hint, re.compile(f"{_BEFORE}{begin or re.escape(hint)}{rest}"))


_WORD = "[A-Za-z0-9_-]"

#: As their vendors document or hand them out.
FORMS: tuple[Form, ...] = (
    _form("AKIA", "[A-Z0-9]{16}(?![A-Za-z0-9])"),  # AWS
    _form("ASIA", "[A-Z0-9]{16}(?![A-Za-z0-9])"),
    _form("gh", "[A-Za-z0-9]{36,255}", begin="gh[pousr]_"),  # GitHub
    _form("github_pat_", "[A-Za-z0-9_]{22,255}"),
    _form("glpat-", _WORD + "{20,255}"),  # GitLab
    _form("gldt-", _WORD + "{20,255}"),
    _form("glrt-", _WORD + "{20,255}"),
    _form("xox", "[A-Za-z0-9-]{10,255}", begin="xox[abceoprs]-"),  # Slack
    _form("xapp-", "[A-Za-z0-9-]{20,255}"),
    _form("hooks.slack.com/services/", "[A-Za-z0-9_/]{20,255}"),
    _form("sk-ant-", _WORD + "{20,255}"),  # Anthropic
    _form("sk-or-v1-", "[A-Za-z0-9]{32,255}"),  # OpenRouter
    _form(
        "sk-", _WORD + "{20,255}", begin="sk-(?:proj|svcacct|admin|None|lf)-"
    ),  # OpenAI, Langfuse
    _form("sk-", "[A-Za-z0-9]{32,255}"),  # OpenAI and those that took over its form
    _form("gsk_", "[A-Za-z0-9]{40,255}"),  # Groq
    _form("xai-", "[A-Za-z0-9]{60,255}"),  # xAI
    _form("pplx-", "[A-Za-z0-9]{40,255}"),  # Perplexity
    _form("r8_", "[A-Za-z0-9]{37,255}"),  # Replicate
    _form("hf_", "[A-Za-z0-9]{30,255}"),  # Hugging Face
    _form("AIza", _WORD + "{35}"),  # Google
    _form("GOCSPX-", _WORD + "{28}"),
    _form("ya29.", _WORD + "{20,2048}"),
    _form("_live_", "[A-Za-z0-9]{16,255}", begin="[rs]k_live_"),  # Stripe
    _form("_test_", "[A-Za-z0-9]{16,255}", begin="[rs]k_test_"),
    _form("whsec_", "[A-Za-z0-9+/=]{24,255}"),
    _form("sq0", _WORD + "{22,60}", begin="sq0(?:atp|csp)-"),  # Square
    _form("SG.", r"[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}"),  # SendGrid
    _form("SK", "[0-9a-f]{32}(?![A-Za-z0-9])"),  # Twilio
    _form("key-", "[0-9a-f]{32}(?![A-Za-z0-9])"),  # Mailgun
    _form("npm_", "[A-Za-z0-9]{36}"),
    _form("pypi-", _WORD + "{50,1024}", begin="pypi-AgE"),
    _form("rubygems_", "[0-9a-f]{48}"),
    _form("dckr_pat_", _WORD + "{20,255}"),  # Docker
    _form("do", "[0-9a-f]{64}", begin="do[opr]_v1_"),  # DigitalOcean
    _form("dapi", "[0-9a-f]{32}(?:-[0-9])?(?![A-Za-z0-9])"),  # Databricks
    _form("shp", "[0-9a-fA-F]{32}", begin="shp(?:at|ca|pa|ss)_"),  # Shopify
    _form("lin_api_", "[A-Za-z0-9]{30,255}"),  # Linear
    _form("ntn_", "[A-Za-z0-9]{40,255}"),  # Notion
    _form("figd_", _WORD + "{30,255}"),  # Figma
    _form("hvs.", _WORD + "{24,255}"),  # HashiCorp Vault
    _form("dp.", "[A-Za-z0-9]{40,255}", begin=r"dp\.(?:pt|st|ct|sa)\.(?:[a-z0-9_-]{2,35}\.)?"),
    _form("tskey-", _WORD + "{20,255}"),  # Tailscale
    _form("sbp_", "[0-9a-f]{40}"),  # Supabase
    _form("sntry", "[A-Za-z0-9+/=_-]{40,512}", begin="sntry[su]_"),  # Sentry
    _form("glsa_", "[A-Za-z0-9_]{32,255}"),  # Grafana
    _form("glc_", "[A-Za-z0-9+/=]{32,512}"),
    _form("NRAK-", "[A-Z0-9]{27}"),  # New Relic
    _form("PMAK-", "[0-9a-f]{24}-[0-9a-f]{34}"),  # Postman
    _form("ATATT3", "[A-Za-z0-9_=-]{50,512}"),  # Atlassian
    _form("pscale_", "[A-Za-z0-9_.=-]{32,255}", begin="pscale_(?:tkn|pw|oauth)_"),  # PlanetScale
    _form("AGE-SECRET-KEY-1", "[0-9A-Z]{58}"),  # age
    _form(":AA", _WORD + "{33}(?![A-Za-z0-9_-])", begin="[0-9]{8,10}:AA"),  # Telegram bots
)


class ApiKeys:
    """API keys and access tokens in the forms of well-known vendors."""

    name = "api-key"
    version = 1

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Where such keys are."""
        for hint, pattern in FORMS:
            if hint in text:
                for match in pattern.finditer(text):
                    yield match.span()


class JsonWebTokens:
    """JSON Web Tokens: header and claims in base64url, then a signature, which may be empty."""

    name = "jwt"
    version = 1
    _pattern = re.compile(
        r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,8192}\.eyJ[A-Za-z0-9_-]{4,16384}\.[A-Za-z0-9_-]{0,8192}"
    )

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Where such tokens are."""
        if "eyJ" in text:
            for match in self._pattern.finditer(text):
                yield match.span()


class PrivateKeys:
    """Private keys as PEM or PGP blocks; of one that was cut off, as far as it goes."""

    name = "private-key"
    version = 1
    _begin = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
    _end = re.compile(r"-----END (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
    _inside = re.compile(r"[A-Za-z0-9+/=\s\\]*")

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Where such blocks are."""
        at = 0
        while (begin := self._begin.search(text, at)) is not None:
            end = self._end.search(text, begin.end())
            if end is None:
                inside = self._inside.match(text, begin.end())
                at = len(text) if inside is None else inside.end()
                yield begin.start(), at
                # No other block ends either, so the rest is looked through without searching on.
                for begin in self._begin.finditer(text, at):
                    inside = self._inside.match(text, begin.end())
                    yield begin.start(), begin.end() if inside is None else inside.end()
                return
            at = end.end()
            yield begin.start(), at
