"""Files that have columns and types already: Parquet, Arrow, ORC, Avro."""
