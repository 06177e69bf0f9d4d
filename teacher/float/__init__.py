"""FLOAT: a transformer that moves a portrait's motion latents by flow matching, guided by sound and emotion."""
