"""Running the study: artifacts, jobs, pages, the book, the reference run."""
