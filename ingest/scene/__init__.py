"""Export robots as scenes, data that a page can draw and pose: any MuJoCo model, and the model of a run."""
