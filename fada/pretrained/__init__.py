"""The gate for models from outside: every folder and file of weights is checked here before a library opens it.

A model's folder may come from anybody. It names classes, sizes and files; of that only what a table permits is taken:
settings.py which settings a class has and how large they may be, weights.py which files hold its weights, networks.py
one network, pipelines.py a folder of several. diffusers and transformers never choose a class, and never import what
lies in a folder.
"""
