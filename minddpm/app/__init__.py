"""What `minddpm train | sample | evaluate` do: files, runs, presets, pictures."""

# what these two know to read, `data.load` does
from minddpm.app import datasets as datasets
from minddpm.app import folders as folders
