"""FLOAT: a portrait moved by a few hundred numbers per frame, which a flow over frames makes of sound and emotion."""
