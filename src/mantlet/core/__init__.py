"""The words everything else is said in: standard library only, no IO, no clock reads."""
