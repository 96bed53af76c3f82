"""Store: stages what convert made of a batch, and publishes the job with its last one.

While a job is unpublished everything of it lies in the library's `.incoming/<job>/`:

    .batch-000003.msgpack            the Results of batch 3, written last: what has none of these was never staged
    part-000003-00000.parquet        its first table part, and that one's rejects
    part-000003-00000.ndjson
    tree/                            what becomes the job's folder
        kept/000012-photo.jpg        kept members come here at once, their names depend on nothing else
        rejected/000013-broken.bin
        orders/part-00000.parquet    made when the job is published, as hard links to the staged parts
        orders/rejects.ndjson
        manifest.json

One rename takes `tree` to `<yyyy-mm>/<job>-<name>`; for a job of one batch, of which nothing was staged before, the
folder itself is the tree. Nothing staged is moved or changed before it, so that an attempt
that was killed anywhere is simply done again: whatever it left is written over or pruned. The supervisor removes
`.incoming/<job>` whenever it resets a job.

`stages.store.manifest` describes manifest.json.
"""

from stages.store.stage import Store, build

__all__ = ["Store", "build"]
