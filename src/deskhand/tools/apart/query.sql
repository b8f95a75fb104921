-- Before anything is loaded: nothing is installed or fetched, and memory is bounded.
SET autoinstall_known_extensions = false;
SET autoload_known_extensions = false;
SET python_enable_replacements = false;
SET memory_limit = '700MB';
SET temp_directory = '';
SET enable_progress_bar = false;
SET threads = 2;

-- What there is: each table with its columns and how many rows it has.
SELECT format('"{}" ({}), {} rows', t.table_name,
    string_agg(format('"{}" {}', column_name, data_type), ', ' ORDER BY column_index), any_value(estimated_size))
FROM duckdb_tables() t JOIN duckdb_columns() c USING (table_oid)
GROUP BY t.table_name, table_oid
ORDER BY table_oid;

-- Before anybody's statement is run: no files, and no way back.
SET enable_external_access = false;
SET lock_configuration = true;
