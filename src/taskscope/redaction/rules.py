r"""The shapes of secrets, as data.

Patterns keep to what RE2 and Python's `re` both read (no lookaround, no backreference), so that the
configuration of a Collector can be generated from this table. A match is replaced by its group `keep` (what
stands before the secret), the marker, and its group `tail`.

Each pattern is linear by construction: it begins at most `reach` characters before one of its keywords, each
repeat before the last required piece is bounded, and an unbounded one stands last, where nothing can fail any
more. There is no `\b` on the left of a token: in `\nghp_...` of a JSON string, in `%3Dghp_...` of a URL and
behind a color code there is none.

Sources: the providers' documented token formats, gitleaks' rules (MIT), and DESIGN.md section 2.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """One shape of a secret."""

    name: str
    """Stands in the marker: `[redacted:NAME]`."""
    keywords: tuple[str, ...]
    """One stands in every match, at most `reach` characters after its begin; lower-case if `any_case`."""
    pattern: str
    reach: int = 0
    any_case: bool = False
    """Upper and lower case are the same, and a match may hold spaces; else a match is one word of at least
    `TOKEN_LENGTH` characters, so that texts without long words need no search for it."""


TOKEN_LENGTH = 15

# Pieces of patterns.
_COLOR = r"(?:\x1b\[[0-9;]{0,8}m)?"
# Not inside a word, but behind a color code, an escaped control character or a URL-encoded one.
LEFT = r"(?P<keep>^|[^0-9A-Za-z_-]|\x1b\[[0-9;]{0,8}m|%[0-9A-Fa-f]{2}|\\[nrt])"
_LEFT_REACH = 11
_SLASH = r"(?:/|%2F|\\/)"
_KEY_END = _COLOR + r"""(?:\\{0,3}["'\]]{1,2}|%22|%27|&quot;)?"""
_SPACE = r"(?:[ \t]|%20){0,4}"
_SEPARATOR = _KEY_END + _SPACE + r"(?:=>|:=|==|=|:|%3A|%3D)" + _SPACE + _COLOR
_COLON = _KEY_END + _SPACE + r"(?::|%3A)" + _SPACE + _COLOR
_SOME_QUOTE = r"""(?:\\{0,3}["']|%22|%27|&quot;)?"""
_GAP = r"(?: |\+|%20)"
_SCHEME = r"(?:basic|bearer|digest|token|apikey|negotiate|ntlm)(?:[ \t]|%20|\+){1,4}"

_KEY_WORDS = (
    *(
        "password",
        "passwd",
        "passphrase",
        "passcode",
        "_pass",
        "_pwd",
        ";pwd",
        "secret",
        "token",
        "credential",
    ),
    *("apikey", "api_key", "api-key", "accesskey", "access_key", "access-key", "accountkey", "account_key"),
    *("privatekey", "private_key", "private-key", "auth_key", "authkey", "signing_key", "encryption_key"),
    *("master_key", "masterkey", "session_key", "service_key", "storage_key", "deploy_key", "shared_key"),
)
_KEY = (
    r"(?P<keep>(?:pass(?:word|wd|phrase|code)|[_;]pwd|_pass|token|credentials?"
    r"|secret(?:[_-]?(?:access[_-]?)?(?:key|token|id|value))?"
    r"|(?:api|access|account|private|auth|signing|encryption|master|session|service|storage|deploy|shared)[_-]?key)"
)
_LOGIN_WORDS = tuple(word for word in _KEY_WORDS if word not in {"token", "credential"})
# What may stand in a value without quotes; `$` and `{` would be a variable.
_PLAIN = r"""[^\s\x1b"'\\;,&<>(){}\[\]|`$]"""
_STRICT = r"""[^\s\x1b"'\\;,&<>(){}\[\]|`$.=:]"""
# Six characters or more that are more than a word: a digit or a sign is among them.
_SIGN = r"[0-9!@#%^*+~/-]"
_MIXED = rf"(?:[A-Za-z_]{{5,40}}{_SIGN}|[A-Za-z_]{{0,4}}{_SIGN}{_STRICT}{{4}})"


def _place(name: str, pattern: str, *keywords: str, reach: int = 0) -> Rule:
    return Rule(name, keywords, pattern, reach, any_case=True)


# Tokens that tell who issued them.
_TOKENS = (
    Rule("anthropic_key", ("sk-ant-",), r"sk-ant-[A-Za-z0-9_-]{20,}"),
    # A digit must come: `sk-toggleable__label-arrow` is a CSS class of scikit-learn.
    Rule("openai_key", ("sk-",), LEFT + r"sk-[A-Za-z_-]{0,60}[0-9][A-Za-z0-9_-]{11,}", _LEFT_REACH),
    Rule("openai_session", ("sess-",), r"sess-[A-Za-z0-9]{40,}"),
    Rule("github_token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_[A-Za-z0-9]{30,}"),
    Rule("github_token", ("github_pat_",), r"github_pat_[A-Za-z0-9_]{22,}"),
    Rule(
        "gitlab_token",
        (
            "glpat-",
            "gldt-",
            "glrt-",
            "glptt-",
            "glcbt-",
            "glft-",
            "glsoat-",
            "glimt-",
            "glagent-",
            "gloas-",
            "glffct-",
        ),
        r"gl(?:pat|dt|rt|ptt|cbt|ft|soat|imt|agent|oas|ffct)-[A-Za-z0-9_.-]{20,}",
    ),
    Rule("aws_key_id", ("AKIA", "ASIA", "ABIA", "ACCA"), r"A(?:KIA|SIA|BIA|CCA)[A-Z2-7]{16}"),
    Rule("aws_key", ("ABSK",), r"ABSK[A-Za-z0-9+/]{100,}={0,2}"),
    Rule("google_api_key", ("AIza",), r"AIza[A-Za-z0-9_-]{35}"),
    Rule("google_oauth", ("ya29.",), r"ya29\.[A-Za-z0-9_-]{20,}"),
    Rule("google_oauth", ("GOCSPX-",), r"GOCSPX-[A-Za-z0-9_-]{20,}"),
    Rule(
        "slack_token",
        ("xoxb-", "xoxp-", "xoxa-", "xoxe-", "xoxo-", "xoxr-", "xoxs-"),
        r"xox[abeoprs]-[A-Za-z0-9-]{10,}",
    ),
    Rule("slack_token", ("xoxe.",), r"xoxe\.xox[bp]-[A-Za-z0-9-]{10,}"),
    Rule("slack_token", ("xapp-",), r"xapp-[0-9]-[A-Za-z0-9-]{10,}"),
    Rule("stripe_key", ("k_live_", "k_test_", "k_prod_"), r"[sr]k_(?:live|test|prod)_[A-Za-z0-9]{10,}", 1),
    Rule("stripe_key", ("whsec_",), r"whsec_[A-Za-z0-9+/]{20,}={0,2}"),
    Rule("twilio_key", ("SK",), r"SK[0-9a-f]{32}"),
    Rule("sendgrid_key", ("SG.",), r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,}"),
    Rule("mailgun_key", ("key-",), r"key-[0-9a-f]{32}"),
    Rule("npm_token", ("npm_",), r"npm_[A-Za-z0-9]{36,}"),
    Rule("pypi_token", ("pypi-A",), r"pypi-A[A-Za-z0-9_-]{40,}"),
    Rule("rubygems_key", ("rubygems_",), r"rubygems_[0-9a-f]{48}"),
    Rule("huggingface_token", ("hf_",), r"hf_[A-Za-z0-9]{30,}"),
    Rule("huggingface_token", ("api_org_",), r"api_org_[A-Za-z0-9]{30,}"),
    Rule("azure_client_secret", ("Q~",), r"[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,}", 4),
    Rule("databricks_token", ("dapi",), r"dapi[0-9a-f]{32}(?:-[0-9]{1,2})?"),
    Rule("vault_token", ("hvs.", "hvb.", "hvr."), r"hv[sbr]\.[A-Za-z0-9_-]{24,}"),
    Rule("digitalocean_token", ("dop_v1_", "doo_v1_", "dor_v1_"), r"do[opr]_v1_[0-9a-f]{64}"),
    Rule("grafana_token", ("glsa_",), r"glsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}"),
    Rule("grafana_token", ("glc_",), r"glc_[A-Za-z0-9+/]{32,}={0,2}"),
    Rule("docker_token", ("dckr_pat_", "dckr_oat_"), r"dckr_[op]at_[A-Za-z0-9_-]{20,}"),
    Rule("shopify_token", ("shpat_", "shpca_", "shppa_", "shpss_"), r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    Rule("square_token", ("sq0atp-", "sq0csp-"), r"sq0(?:atp|csp)-[A-Za-z0-9_-]{22,}"),
    Rule("newrelic_key", ("NRAK-",), r"NRAK-[A-Z0-9]{27}"),
    Rule("sentry_token", ("sntrys_", "sntryu_"), r"sntry[su]_[A-Za-z0-9+/=_-]{40,}"),
    Rule("atlassian_token", ("ATATT3", "ATCTT3", "ATBB"), r"(?:AT[AC]TT3|ATBB)[A-Za-z0-9_=-]{28,}"),
    Rule("postman_key", ("PMAK-",), r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    Rule("terraform_token", (".atlasv1.",), r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}", 14),
    Rule("linear_key", ("lin_api_",), r"lin_api_[A-Za-z0-9]{32,}"),
    Rule("notion_token", ("ntn_",), r"ntn_[A-Za-z0-9]{40,}"),
    Rule("figma_token", ("figd_",), r"figd_[A-Za-z0-9_-]{32,}"),
    Rule("groq_key", ("gsk_",), r"gsk_[A-Za-z0-9]{40,}"),
    Rule("xai_key", ("xai-",), r"xai-[A-Za-z0-9]{40,}"),
    Rule("perplexity_key", ("pplx-",), r"pplx-[A-Za-z0-9]{40,}"),
    Rule("replicate_token", ("r8_",), r"r8_[A-Za-z0-9]{37,}"),
    Rule("langsmith_key", ("lsv2_",), r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"),
    Rule("pinecone_key", ("pcsk_",), r"pcsk_[A-Za-z0-9_]{40,}"),
    Rule("supabase_token", ("sbp_",), r"sbp_[0-9a-f]{40}"),
    Rule("planetscale_token", ("pscale_",), r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{30,}"),
    Rule("doppler_token", ("dp.",), r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9_.-]{40,}"),
    Rule("heroku_key", ("HRKU-",), r"HRKU-[A-Za-z0-9_-]{36,}"),
    Rule("dynatrace_token", ("dt0",), r"dt0[a-z]01\.[A-Z0-9]{24}\.[A-Z0-9]{64}"),
    Rule("age_key", ("AGE-SECRET-KEY-1",), r"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    # The begin of a JWT's header in base64: {"alg", {"typ", {"kid", {"enc", {"x5t", {"cty", {"jku", { "alg".
    Rule(
        "jwt",
        (
            "eyJhbGciOi",
            "eyJ0eXAiOi",
            "eyJraWQiOi",
            "eyJlbmMiOi",
            "eyJ4NXQi",
            "eyJjdHkiOi",
            "eyJqa3UiOi",
            "eyAiYWxnIj",
        ),
        r"ey[JA][A-Za-z0-9_-]{14,}(?:\.[A-Za-z0-9_-]+){0,4}",
    ),
)

# Secrets told by the place where they stand.
_PLACES = (
    # An end that is missing (a cut text) still hides all that follows; lines of a diff begin with + or -.
    _place(
        "private_key",
        rf"-----BEGIN[A-Z0-9 +%]{{0,40}}(?:PRIVATE{_GAP}KEY|NKEY{_GAP}SEED|NATS{_GAP}USER)"
        r"[A-Z0-9 +%]{0,16}-----"
        r"(?:[^-]|-[^-])*(?:-{5,6}END[A-Z0-9 +%]{0,60}-----)?",
        "-----begin",
    ),
    _place(
        "url_password", r"""(?P<keep>://[^\s/?#:@"'<>\\]{0,128}:)[^\s/?#"'<>\\]{1,256}(?P<tail>@)""", "://"
    ),
    _place("url_token", r"""(?P<keep>://)[^\s/?#:@"'<>\\]{16,256}(?P<tail>@)""", "://"),
    _place("url_token", r"""(?P<keep>%3A%2F%2F)[^\s%&"'/]{16,256}(?P<tail>%40)""", "%3a%2f%2f"),
    _place(
        "url_password",
        r"(?P<keep>%3A%2F%2F[^\s%&\"'/]{0,128}%3A)"
        r"(?:[^\s%&\"'/]|%[013-9A-F][0-9A-F]|%2[0-9A-E]){1,256}?(?P<tail>%40)",
        "%3a%2f%2f",
    ),
    _place(
        "slack_webhook",
        rf"(?P<keep>hooks\.slack\.com{_SLASH}(?:services|workflows|triggers){_SLASH})[A-Za-z0-9+/_%-]{{20,}}",
        "hooks.slack.com",
    ),
    _place(
        "discord_webhook",
        rf"(?P<keep>discord(?:app)?\.com{_SLASH}api{_SLASH}(?:v[0-9]{{1,2}}{_SLASH})?webhooks{_SLASH})"
        r"[A-Za-z0-9/%_\\-]{20,}",
        "discord",
    ),
    _place(
        "teams_webhook",
        rf"(?P<keep>webhook\.office\.com{_SLASH}webhookb2{_SLASH})[A-Za-z0-9/%@_\\-]{{20,}}",
        "webhook.office.com",
    ),
    _place("telegram_token", r"[0-9]{8,10}(?::|%3A)AA[A-Za-z0-9_-]{32,}", ":aa", "%3aaa", reach=10),
    _place(
        "azure_key",
        r"(?P<keep>(?:Account|SharedAccess)Key(?:=|%3D))[A-Za-z0-9+/%=]{20,}",
        "accountkey",
        "sharedaccesskey",
    ),
    _place(
        "url_signature",
        r"(?P<keep>(?:sig|signature|security-token)(?:=|%3D))[A-Za-z0-9%+/=_-]{20,}",
        *("sig=", "signature=", "security-token=", "sig%3d", "signature%3d"),
    ),
    _place(
        "authorization",
        rf"(?P<keep>authorization{_COLON}{_SOME_QUOTE}(?:{_SCHEME})?)[^\s\"'\\,;<>]{{8,}}",
        "authorization",
    ),
    _place(
        "authorization",
        rf"(?P<keep>authorization{_SEPARATOR}{_SOME_QUOTE}{_SCHEME})[^\s\"'\\,;<>]{{8,}}",
        "authorization",
    ),
    _place(
        "bearer",
        r"(?P<keep>bearer(?:[ \t]|%20|\+){1,4})[A-Za-z0-9._~+/=-]{0,40}[0-9][A-Za-z0-9._~+/=-]{8,}",
        "bearer",
    ),
    _place(
        "cookie",
        rf"""(?P<keep>cookie{_COLON}{_SOME_QUOTE})[^\s=;"',(){{}}]{{1,64}}(?:=|%3D)[^\r\n"'\\]{{3,}}""",
        "cookie",
    ),
    _place(
        "curl_user",
        r"""(?P<keep>curl(?: |%20)[^\r\n]{0,80}(?:-u|--user)(?: |=|%20)["']?[^\s:"'%]{1,64}(?::|%3A))"""
        r"""[^\s"'%]{3,}""",
        *("curl ", "curl%20"),
    ),
    _place("netrc", r"(?P<keep>login[ \t]{1,4}[^\s]{1,64}\s{1,4}password[ \t]{1,4})[^\s\"']{3,}", "login"),
    _place(
        "option",
        r"(?P<keep>--(?:password|passwd|token|api-key|secret|access-token|client-secret)(?: |=|%20))"
        r"[^\s\"'<>\[({$=%-][^\s\"'>\])}%]{3,}",
        *("--password", "--passwd", "--token", "--api-key", "--secret", "--access-token", "--client-secret"),
    ),
    # name = "value", 'value', \"value\" inside of a JSON string, %22value%22 inside of a URL
    _place(
        "key_value",
        _KEY + _SEPARATOR + r"""[bru]{0,2}")(?:[^"\\\s]|\\.)(?:[^"\\\r\n]|\\.){2,}""",
        *_KEY_WORDS,
    ),
    _place(
        "key_value",
        _KEY + _SEPARATOR + r"""[bru]{0,2}')(?:[^'\\\s]|\\.)(?:[^'\\\r\n]|\\.){2,}""",
        *_KEY_WORDS,
    ),
    _place("key_value", _KEY + _SEPARATOR + r"""\\{1,3}["'])[^"'\\\s][^"'\\\r\n]{2,}""", *_KEY_WORDS),
    _place(
        "key_value",
        _KEY + _SEPARATOR + r"(?:%22|%27|&quot;))(?:[^\s%\"'&<>]|%[013-9A-F][0-9A-F]|%2[013-9A-F]){3,}",
        *_KEY_WORDS,
    ),
    # name=value with something in it that is no letter; name=word up to an end; name: value, stricter.
    _place("key_value", _KEY + rf"{_KEY_END}(?:=|%3D){_COLOR})(?:{_MIXED}{_PLAIN}*)", *_KEY_WORDS),
    _place(
        "key_value",
        _KEY + rf"(?:=|%3D){_COLOR})[A-Za-z]{{6,64}}(?P<tail>[&;\s\x1b\"'\\\]<]|$)",
        *_LOGIN_WORDS,
    ),
    _place(
        "key_value",
        _KEY + rf"{_SEPARATOR})(?:{_MIXED}{_STRICT}{{0,256}})={{0,2}}(?P<tail>[\s;,&\x1b\"'\\\])}}<|]|$)",
        *_KEY_WORDS,
    ),
)

RULES: tuple[Rule, ...] = _TOKENS + _PLACES
"""All rules; where two meet, the first one gives the name."""

STEMS = (
    *("pass", "pwd", "secret", "token", "credential", "key", "auth", "cookie", "bearer", "login", "curl"),
    *("://", "%3a", ":aa", "-----begin", "sig", "slack", "discord", "webhook"),
)
"""What each keyword of an `any_case` rule contains one of: few to look for in a text that has none."""
