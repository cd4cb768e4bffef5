"""NVIDIA FLARE as the fabric: the engine that hospitals already run.

| file | what |
|---|---|
| fabric.py, wire.py, site.py | calls over Collab proxies: frames, chunks, both ends |
| app.py | the classes that run inside FLARE's processes |
| job.py, project.py, policy.py | what is submitted, and what a site's operator permits |
| poc.py, processes.py | a whole deployment on loopback, and its end |
| submit.py, session.py, follow.py | a consortium's own server, seen by its administrator |

Importing this package imports no FLARE: it is the extra ``wardround[flare]``.
"""
