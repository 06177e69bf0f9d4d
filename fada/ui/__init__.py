"""The studio of ``fada ui``: a page to generate, compare, watch runs, and look at data and reports.

Light where it is read; what needs networks is imported by `videos.py`, what needs the extra `ui` by `server.py` and
the tabs.
"""
