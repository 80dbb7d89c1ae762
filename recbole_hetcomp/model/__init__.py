"""RecBole model classes: teachers, the ensemble and distilled students."""
