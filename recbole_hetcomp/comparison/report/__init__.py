"""A benchmark's report: contents.

===========  ==========================================================================================
files        the benchmark's folder as checked tables; what is missing in it
comparison   what is compared with what: conditions, methods, ablations, and their paired tests
tables       the tables, as text with marks for best and second
plots        the pictures
document     sections of text, tables and pictures → Markdown and one HTML file
report       :func:`~recbole_hetcomp.comparison.report.write.write_report`: all of it in order
===========  ==========================================================================================
"""
