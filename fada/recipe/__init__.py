"""What a run is: a typed YAML file, checked before anything is built."""

from fada.recipe.errors import RecipeError
from fada.recipe.loading import dump_recipe, load_recipe, recipe_json_schema, save_recipe
from fada.recipe.schema import Recipe

__all__ = ["Recipe", "RecipeError", "dump_recipe", "load_recipe", "recipe_json_schema", "save_recipe"]
