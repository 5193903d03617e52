"""What a record is: the Cohort, rhythms, leads, preprocessing and R peaks."""
