"""A run's result, one table and a picture; and the pages on which runs are reported. Contents:

========  ==========================================================================
table     a run's table, written and printed
curves    a picture of how the student learnt
document  sections of text, tables and pictures → Markdown and one HTML file
========  ==========================================================================
"""

import recbole  # noqa: F401  (first: the plugin's models are registered before one of their modules begins)
