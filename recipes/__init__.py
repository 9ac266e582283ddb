"""Training recipes, a YAML file per stage; installed as `moellava.recipes`."""
