"""
The model server: champions answer over HTTP, challengers prove themselves on live requests.

``python -m evergreen serve`` starts it; what it follows is the ledger, so nothing deploys to it.
A request goes through ``guard`` (may it?), ``app`` and ``protocol`` (what is asked?), ``inputs``
(is it usable?), ``endpoint`` (who answers?) and ``version`` (one process per version, in batches).
"""
