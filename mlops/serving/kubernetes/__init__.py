"""A deployment as files for Kubernetes: a RayService, an InferenceService, and the image that both run."""
