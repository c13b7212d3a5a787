//! The rows of SHOW, DESCRIBE and the like: the engine gives them as Arrow only, clients want their format.
//!
//! They are written as tab-separated text with column types, for the engine to read back and format.

use super::engine::{quote, quote_name};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use std::path::Path;

/// Few rows, held in memory.
pub struct Report {
    names: Vec<String>,
    batches: Vec<RecordBatch>,
}

impl Report {
    /// Keeps the batches of one result.
    pub fn new(schema: &arrow_schema::Schema, batches: Vec<RecordBatch>) -> Report {
        Report {
            names: schema
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .collect(),
            batches,
        }
    }

    /// Whether the statement gives no table at all.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// All rows as text; missing values are empty.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for batch in &self.batches {
            for row in 0..batch.num_rows() {
                rows.push(
                    batch
                        .columns()
                        .iter()
                        .map(|column| cell(column, row).unwrap_or_default())
                        .collect(),
                );
            }
        }
        rows
    }

    /// All rows as `TabSeparated`.
    pub fn tab_separated(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for batch in &self.batches {
            for row in 0..batch.num_rows() {
                for (at, column) in batch.columns().iter().enumerate() {
                    if at > 0 {
                        out.push(b'\t');
                    }
                    match cell(column, row) {
                        Some(text) => escape(&text, &mut out),
                        None => out.extend_from_slice(b"\\N"),
                    }
                }
                out.push(b'\n');
            }
        }
        out
    }

    /// The query that reads those rows back from `path`.
    pub fn query(&self, path: &Path) -> String {
        let columns = self
            .names
            .iter()
            .enumerate()
            .map(|(at, name)| format!("{} {}", quote_name(name), self.kind(at)));
        let structure = columns.collect::<Vec<_>>().join(", ");
        format!(
            "SELECT * FROM file({}, 'TabSeparated', {})",
            quote(&path.display().to_string()),
            quote(&structure)
        )
    }

    fn kind(&self, column: usize) -> String {
        let arrays = || self.batches.iter().map(|batch| batch.column(column));
        let name = arrays().next().map_or("String", |array| kind_of(array));
        match arrays().any(|array| array.null_count() > 0) {
            true => format!("Nullable({name})"),
            false => name.to_owned(),
        }
    }
}

fn kind_of(array: &ArrayRef) -> &'static str {
    use arrow_schema::DataType as Type;
    match array.data_type() {
        Type::UInt8 => "UInt8",
        Type::UInt16 => "UInt16",
        Type::UInt32 => "UInt32",
        Type::UInt64 => "UInt64",
        Type::Int8 => "Int8",
        Type::Int16 => "Int16",
        Type::Int32 => "Int32",
        Type::Int64 => "Int64",
        Type::Float32 => "Float32",
        Type::Float64 => "Float64",
        _ => "String",
    }
}

fn cell(array: &ArrayRef, row: usize) -> Option<String> {
    use arrow_schema::DataType as Type;
    if array.is_null(row) {
        return None;
    }
    let bytes = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(match array.data_type() {
        Type::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        Type::LargeUtf8 => array.as_string::<i64>().value(row).to_owned(),
        Type::Utf8View => array.as_string_view().value(row).to_owned(),
        Type::Binary => bytes(array.as_binary::<i32>().value(row)),
        Type::LargeBinary => bytes(array.as_binary::<i64>().value(row)),
        Type::Boolean => u8::from(array.as_boolean().value(row)).to_string(),
        Type::UInt8 => array.as_primitive::<UInt8Type>().value(row).to_string(),
        Type::UInt16 => array.as_primitive::<UInt16Type>().value(row).to_string(),
        Type::UInt32 => array.as_primitive::<UInt32Type>().value(row).to_string(),
        Type::UInt64 => array.as_primitive::<UInt64Type>().value(row).to_string(),
        Type::Int8 => array.as_primitive::<Int8Type>().value(row).to_string(),
        Type::Int16 => array.as_primitive::<Int16Type>().value(row).to_string(),
        Type::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        Type::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        Type::Float32 => array.as_primitive::<Float32Type>().value(row).to_string(),
        Type::Float64 => array.as_primitive::<Float64Type>().value(row).to_string(),
        _ => format!("{:?}", array.slice(row, 1)),
    })
}

fn escape(text: &str, out: &mut Vec<u8>) {
    for &byte in text.as_bytes() {
        match byte {
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0 => out.extend_from_slice(b"\\0"),
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{StringArray, UInt8Array};
    use std::sync::Arc;

    #[test]
    fn rows_survive_as_text() {
        let batch = RecordBatch::try_from_iter([
            (
                "na`me",
                Arc::new(StringArray::from(vec![Some("a\tb"), None])) as ArrayRef,
            ),
            ("n", Arc::new(UInt8Array::from(vec![1, 2])) as ArrayRef),
        ])
        .expect("batch");
        let report = Report::new(&batch.schema(), vec![batch]);
        assert_eq!(report.tab_separated(), b"a\\tb\t1\n\\N\t2\n");
        let query = report.query(Path::new("/x"));
        assert!(
            query.contains("Nullable(String)") && query.contains("`n` UInt8"),
            "{query}"
        );
    }
}
