//! Commits of generations that wait in both roles: asked for, cut off, raced, and done by the host itself.
