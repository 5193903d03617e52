"""The experiments of the study, one file each."""
