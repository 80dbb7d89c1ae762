"""Rankings as a table of external ids, the interface to other systems (docs/rankings.md). Contents:

==========  ===========================================================================
schema      the columns and the version
reading     Parquet, CSV and TREC runs, a batch of rows at a time
mismatches  what does not match the data: counted, reported, refused above a threshold
grouping    rows of any order → lists of internal ids, in bounded memory
writing     lists of internal ids → the table
==========  ===========================================================================
"""

from recbole_hetcomp.extras import require

require("Tables of rankings", "pyarrow")
