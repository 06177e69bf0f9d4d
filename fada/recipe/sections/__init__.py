"""The sections of a recipe: every field, unit, default, and the checks that need one section."""
