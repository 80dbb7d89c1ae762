"""What lists are worth: RecBole's metrics from lists, metrics from outside, popularity, likeness."""
