"""A benchmark's report: contents.

========  =============================================================================================
files     the benchmark's folder as checked tables; what is missing in it
pairs     what is compared with what: conditions, methods, ablations, and their paired tests
findings  HetComp against the ensemble, the student alone and the best other method, in short
tables    the tables, as text with marks for best and second
plots     the pictures
write     all of it in order: :func:`~recbole_hetcomp.comparison.report.write.write_report`
========  =============================================================================================
"""
