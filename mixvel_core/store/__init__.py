"""Items in Parquet files on any file system that fsspec knows: written in row groups, read a row group at a time."""
