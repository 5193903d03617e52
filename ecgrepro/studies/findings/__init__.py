"""What results say: claims, and bars that generators have to clear."""
