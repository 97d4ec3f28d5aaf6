"""`warmtoken demo`: worker processes, one shared cache, a real identity provider, and what they do to each other."""
