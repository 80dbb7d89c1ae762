"""The student: a RecBole model of any backbone, its objective, its trainer."""
