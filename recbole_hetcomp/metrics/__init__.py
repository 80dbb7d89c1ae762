"""What lists are worth: RecBole's metrics from lists, popularity, likeness."""
