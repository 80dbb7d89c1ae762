"""``hetcomp serve``: an export folder as a service (docs/serve.md).

=======  =====================================================================
ranking  an export in memory, and its lists
schemas  what may be asked, and what is answered
answers  questions → answers
reload   the folder watched, a new export verified and taken up
metrics  numbers for Prometheus
access   the token
app      all of them behind FastAPI
page     ``page.html``: what a browser shows at ``/``
running  the server processes
=======  =====================================================================
"""
