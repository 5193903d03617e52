"""The studies: augmentation, transfer, and the statistics that judge them."""
