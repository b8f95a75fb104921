"""The main job from end to end, unattended: ``make demo``."""
