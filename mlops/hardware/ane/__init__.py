"""What of a model Core ML can place on the Apple Neural Engine, and how small the model can be made."""
