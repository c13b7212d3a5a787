//! The names that the guard knows: what passes, what does not, and what the pinned engine has.

/// Table functions that reach no file, network or process. `merge` reads tables of this store alone, which a plain SELECT
/// does, too; so it may, with `system`, as well.
pub(super) const TABLE_FUNCTIONS_ALLOWED: &[&str] = &[
    "numbers",
    "numbers_mt",
    "zeros",
    "zeros_mt",
    "values",
    "sqlstandardvalues",
    "view",
    "viewexplain",
    "viewifpermitted",
    "merge",
    "generaterandom",
    "null",
    "generateseries",
    "generate_series",
    "primes",
    "dictionary",
    "format",
    "mergetreeindex",
    "mergetreeprojection",
    "loop",
    "fuzzquery",
];

pub(super) const ENGINES_ALLOWED: &[&str] = &[
    "mergetree",
    "replacingmergetree",
    "summingmergetree",
    "aggregatingmergetree",
    "collapsingmergetree",
    "versionedcollapsingmergetree",
    "coalescingmergetree",
    "graphitemergetree",
    "null",
    "memory",
    "log",
    "tinylog",
    "stripelog",
    "set",
    "join",
    "buffer",
    "view",
    "materializedview",
    "merge",
    "dictionary",
    "generaterandom",
    "atomic",
    "ordinary",
];

/// Engines of databases whose tables are tables. In others a table's name is a file, an address or a table elsewhere.
pub(super) const DATABASE_ENGINES_ALLOWED: &[&str] =
    &["atomic", "memory", "ordinary", "dictionary"];

/// Functions in expressions that read files, ask other hosts or show what they should not; `disk` defines a disk in place.
pub(super) const FUNCTIONS_REFUSED: &[&str] = &[
    "file",
    "hascolumnintable",
    "showcertificate",
    "disk",
    "ssd_cache",
    "complex_key_ssd_cache",
    "catboostevaluate",
    "modelevaluate",
    "evalmlmethod",
    "addresstoline",
    "addresstolinewithinlines",
    "addresstosymbol",
    "trap",
    "airedact",
    "aisimilarity",
    "aifilter",
    "aiclassify",
    "aiembed",
    "aiextract",
    "aigenerate",
    "aitranslate",
    "aigeneratecontent",
    "reversednsquery",
    "executable",
    "python",
];

/// Those of them that a query can also name without brackets: as an argument of `arrayMap` and its like, or after APPLY.
pub(super) const FUNCTIONS_BY_NAME: &[&str] = &[
    "file",
    "hascolumnintable",
    "showcertificate",
    "catboostevaluate",
    "modelevaluate",
    "evalmlmethod",
    "addresstoline",
    "addresstolinewithinlines",
    "addresstosymbol",
    "reversednsquery",
];

pub(super) const SETTINGS_REFUSED: &[&str] = &[
    "readonly",
    "profile",
    "dialect",
    "enable_json_ast_dialect",
    "enable_trino_dialect",
    "polyglot_dialect",
    "allow_ddl",
    "allow_introspection_functions",
    "implicit_select",
    "implicit_table_at_top_level",
    "disk",
    "table_disk",
    "database_disk",
    "additional_result_filter",
    "additional_table_filters",
    "rename_files_after_processing",
    "output_format_schema",
    "url_base",
    "catboost_lib_path",
    "into_outfile_create_parent_directories",
    "input_format_record_errors_file_path",
    "input_format_values_interpret_expressions",
    "input_format_values_deduce_templates_of_expressions",
    "min_untracked_memory",
    "max_untracked_memory",
    "memory_overcommit_ratio_denominator",
    "max_memory_usage_for_all_queries",
    "workload",
    "allow_archive_path_syntax",
    "use_client_time_zone",
];

pub(super) const SETTINGS_REFUSED_PREFIXES: &[&str] = &[
    "format_schema",
    "format_template",
    "format_avro_schema_registry",
    "engine_file_",
    "engine_url_",
    "storage_file_",
    "http_allow_",
    "s3_",
    "s3queue_",
    "azure_",
    "hdfs_",
    "allow_experimental_kusto",
    "allow_experimental_prql",
    "allow_experimental_polyglot",
    "ai_",
    "jemalloc_",
];

/// `system.table_functions` of the pinned engine.
pub(super) const TABLE_FUNCTIONS: &str = "
    ytsaurus hudiCluster deltaLakeCluster paimonAzureCluster paimonS3Cluster icebergAzureCluster icebergS3Cluster deltaLakeAzure paimonHDFS paimon
    icebergLocal deltaLakeAzureCluster icebergS3 iceberg hdfsCluster paimonLocal azureBlobStorageCluster icebergHDFSCluster s3Cluster hdfs oss gcs hudi
    cosn s3 azureBlobStorage prometheusQueryRange prometheusQuery timeSeriesSelector timeSeriesMetricFamilies timeSeriesTags timeSeriesSamples
    mergeTreeProjection format paimonAzure loop postgresql clusterAllReplicas viewIfPermitted view jdbc paimonHDFSCluster mergeTreeCodecBlockCounts
    mergeTreeTextIndex mergeTreeAnalyzeIndexesUUID numbers_mt filesystem mergeTreeIndex icebergCluster icebergLocalCluster icebergAzure bigquery paimonS3
    generateRandom dictionary fuzzQuery icebergHDFS SQLStandardValues merge url zeros_mt executable fuzzJSON deltaLakeS3 urlCluster deltaLakeS3Cluster
    deltaLakeLocal eval fileCluster values file redis zeros arrowstream mergeTreeAnalyzeIndexes input mysql viewExplain null odbc generateSeries mongodb
    generate_series deltaLake sqlite cluster python primes paimonCluster remoteSecure numbers remote timeSeriesMetrics timeSeriesData";

/// `system.table_engines` and `system.database_engines` of the pinned engine.
pub(super) const ENGINES: &str = "
    ArrowStream GCS OSS AzureBlobStorage KeeperMap S3 MaterializedPostgreSQL PostgreSQL BigQuery COSN Redis YTsaurus MongoDB ODBC DeltaLakeAzure
    DeltaLakeS3 S3Queue Hudi PaimonLocal MySQL PaimonAzure View FuzzQuery Alias Loop IcebergLocal Distributed ReplicatedSummingMergeTree ExecutablePool
    MaterializedView Join Executable Kafka Set Dictionary QueryRunner Buffer Remote IcebergS3 Iceberg Memory Merge URL File Log
    ReplicatedCoalescingMergeTree ReplicatedVersionedCollapsingMergeTree SQLite VersionedCollapsingMergeTree ReplacingMergeTree TimeSeries HDFS
    EmbeddedRocksDB DeltaLakeLocal ReplicatedCollapsingMergeTree IcebergHDFS PaimonS3 ReplicatedGraphiteMergeTree IcebergAzure DeltaLake
    ReplicatedMergeTree JDBC SummingMergeTree TinyLog FuzzJSON ReplicatedReplacingMergeTree Null Paimon CoalescingMergeTree PaimonHDFS GenerateRandom
    MergeTree GraphiteMergeTree CollapsingMergeTree FileLog ReplicatedAggregatingMergeTree RemoteSecure AzureQueue AggregatingMergeTree StripeLog
    Replicated Backup DataLakeCatalog Atomic Filesystem Ordinary NATS RabbitMQ";
