"""
The model server: champions answer over HTTP, challengers prove themselves on live requests.

``python -m evergreen serve`` starts it; what it follows is the ledger, so nothing deploys to it.
A request goes through ``middleware`` (token and size), ``app`` and ``protocol`` (form of the
request), ``inputs`` (types of the values), ``endpoint`` (which version answers) and
``served_version`` (one process per version, in batches).
"""
