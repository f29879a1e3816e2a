"""What `minddpm train | sample | evaluate` do: files, runs, presets, pictures."""
