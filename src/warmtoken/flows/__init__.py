"""How tokens are acquired: generators that yield what is to be done and return a result."""
