"""From params.yaml and the studies to `plan.yaml`: node models, expansion, staleness, and the frame of a stage."""
