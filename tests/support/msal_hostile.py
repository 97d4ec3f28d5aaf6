"""Texts of MSAL caches as nobody should write them, for Hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from support.msal_texts import CLIENT, HOST, ID_TOKEN, NOW, TENANT, USER

Strategy = st.SearchStrategy[Any]

FIELDS = (
    "home_account_id", "environment", "client_id", "realm", "target", "secret", "credential_type", "cached_at",
    "expires_on", "extended_expires_on", "ext_expires_on", "refresh_on", "token_type", "kid", "key_id", "keyid", "ext",
    "ext_cache_key", "ext_cache_key_hash", "additionalCacheKeyComponents", "requestedClaimsHash", "user_assertion_hash",
    "userAssertionHash", "family_id", "last_modification_time", "client_info", "local_account_id", "username", "name",
    "authority_type", "account_source", "authority", "unknown",
)  # fmt: skip
SECTIONS = ("AccessToken", "RefreshToken", "IdToken", "Account", "AppMetadata", "accesstoken", "Future")

words = st.sampled_from(
    ["", USER, HOST, "login.microsoftonline.com", CLIENT, TENANT, "common", "adfs", "User.Read Mail.Read", "User.Read",
     ID_TOKEN, "a.e30.b", "a.!.b", "pop", "Bearer", "1", str(NOW), str(NOW + 3600), "-62135596800", "9" * 30,
     "id.example", "id.example:99999", "https://id.example/a", "[::1]", "a/b", "\x00", "a\r\nb",
     "eyJ1aWQiOiJ1IiwidXRpZCI6InQifQ"]
)  # fmt: skip
texts: Strategy = words | st.text(max_size=20)
scalars: Strategy = texts | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values: Strategy = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
ALIKE = {
    "home_account_id": st.just(USER),
    "environment": st.sampled_from([HOST, "login.microsoftonline.com", "id.example"]),
    "client_id": st.just(CLIENT),
    "secret": st.sampled_from(["s-1", "s-2", ID_TOKEN]),
    "expires_on": st.just(str(NOW + 3600)),
}


@st.composite
def entries(draw: st.DrawFn) -> Any:
    """An entry: mostly what it should be, with some fields that are not."""
    fields = draw(st.fixed_dictionaries(ALIKE)) if draw(st.booleans()) else {}
    return fields | draw(st.dictionaries(st.sampled_from(FIELDS), values, max_size=8))


sections: Strategy = st.dictionaries(st.text(max_size=5), entries() | values, max_size=6)
documents: Strategy = st.dictionaries(st.sampled_from(SECTIONS), sections | values, max_size=6)
sound_documents: Strategy = st.dictionaries(st.sampled_from(SECTIONS), sections, max_size=6)
v2_documents: Strategy = st.lists(
    st.fixed_dictionaries(
        {"Key": st.sampled_from(["access_tokens", "refresh_tokens", "id_tokens", "accounts", "x"]), "Value": values}
    ),
    max_size=4,
)
