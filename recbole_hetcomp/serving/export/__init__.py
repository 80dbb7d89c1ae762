"""``hetcomp export``: a student as files that other runtimes serve, with proof that they rank as it does.

==========  ==============================================================================
vectors     a model's scores as dot products of two tables
tables      Parquet with external ids
onnx_model  user, items seen and k → top items, as an ONNX graph
index       FAISS indexes of the items
compressed  float16 and int8 vectors
parity      each artefact's lists against the model's, user by user
titles      names of items, from the data set's item features
card        the model card
write       all of them into a folder, whole or not at all
==========  ==============================================================================
"""

PARITY_K = 50
"""Items of the lists that are compared where nothing else is said."""

INDEXES = ("ivf", "hnsw")
"""Approximate indexes that an export may have beside the exact one."""

PRECISIONS = ("float16", "int8")
"""Compressed vectors that an export may have beside float32."""
