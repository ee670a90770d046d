"""The pages over all projects."""
