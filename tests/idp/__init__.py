"""A certified identity provider, `oidc-provider` on Node, for the integration tests."""
