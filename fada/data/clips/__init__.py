"""A clip, and what is known of the face in it."""
