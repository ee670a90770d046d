"""Pipelines of projects, as their dvc.yaml has them."""
