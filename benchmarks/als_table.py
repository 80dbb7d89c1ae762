"""A table of rankings by the ALS of ``implicit`` on the training split of a run, to be imported as a teacher.

pip install implicit==0.7.3
python benchmarks/als_table.py --dataset ml-100k --to als.parquet
python benchmarks/als_table.py --dataset video-games --best 500 --to als.parquet   # a large catalogue
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sparse

import recbole_hetcomp  # noqa: F401
from recbole_hetcomp.teachers.importing import TargetData

FACTORS, REGULARIZATION, ALPHA, ITERATIONS = 32, 0.05, 10.0, 20
BLOCK = 1000  # users at a time


def main() -> int:
    """Fit, and write every user's scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--config_files", nargs="*", default=())
    parser.add_argument("--to", type=Path, default=Path("als.parquet"))
    parser.add_argument("--best", type=int, help="items of a user that are written, the best ones; all if not given")
    options = parser.parse_args()
    sys.argv = sys.argv[:1]  # RecBole reads it too
    from implicit.cpu.als import AlternatingLeastSquares

    target = TargetData.load(options.dataset, options.config_files)
    data = target.data
    rows = np.repeat(np.arange(data.n_users), data.observed.lengths().numpy())
    values = np.ones(len(rows), dtype=np.float32)
    shape = (data.n_users, data.n_items)
    matrix = sparse.csr_matrix((values, (rows, data.observed.values.numpy())), shape=shape)
    model = AlternatingLeastSquares(
        factors=FACTORS, regularization=REGULARIZATION, alpha=ALPHA, iterations=ITERATIONS, random_state=0
    )
    model.fit(matrix, show_progress=False)
    users, items = target.users.tokens, target.items.tokens
    vectors, item_vectors = np.asarray(model.user_factors)[1:], np.asarray(model.item_factors)[1:]
    kept = min(options.best or len(items), len(items))
    columns = pa.schema({"user": pa.string(), "item": pa.string(), "score": pa.float32()})
    with pq.ParquetWriter(options.to, columns) as writer:
        for start in range(0, len(users), BLOCK):
            scores = vectors[start : start + BLOCK] @ item_vectors.T  # [B, I]
            best = np.argpartition(-scores, kept - 1, axis=1)[:, :kept]
            who = np.repeat(np.arange(start, start + len(scores)), kept)
            values = np.take_along_axis(scores, best, axis=1).ravel()
            block = [users.take(pa.array(who)), items.take(pa.array(best.ravel())), pa.array(values, pa.float32())]
            writer.write_table(pa.Table.from_arrays(block, schema=columns))
    return 0


if __name__ == "__main__":
    sys.exit(main())
