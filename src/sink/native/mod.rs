//! Bundles into blocks of ClickHouse's Native format, ready to be sent and sent again.
//!
//! Cells go column by column from the flow batches into one buffer, gathered through the bundle's order. Columns in
//! which every cell is the default are not sent at all: the table fills the same value in.

mod block;
mod buffers;
mod flows;
mod frame;
mod tables;

use super::Error;
use crate::batch::{Batch, Bundle, Content, Table};
use crate::model::Learned;
use block::Block;
use bytes::Bytes;
use serde::Deserialize;
use std::sync::Arc;

pub use buffers::Buffers;

/// How bodies travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// LZ4 frames: a quarter of the bytes, three to four times the work (`benches/encode.rs`).
    #[default]
    Lz4,
    /// As they are: for a store on the same machine.
    None,
}

/// A bundle in the form that leaves the process: its flow batches are free again.
#[derive(Debug)]
pub struct EncodedBundle {
    /// The bundle's sequence.
    pub sequence: u64,
    /// When it was sealed, milliseconds since 1970 UTC.
    pub created_ms: i64,
    /// What each exporter is expected to send next after these rows, in the form of
    /// [`positions`](super::spool::positions); it stays in the spool when the bundle is gone.
    pub positions: Vec<u8>,
    /// One for each batch, in the same order.
    pub sections: Vec<EncodedSection>,
}

/// One INSERT: immutable, owns all it needs, the unit of retry.
#[derive(Clone, Debug)]
pub struct EncodedSection {
    /// Where it goes.
    pub table: Table,
    /// Partition, as in [`Batch::partition`].
    pub partition: u32,
    /// Deduplication token, as in [`Batch::token`].
    pub token: String,
    /// Version of the schema that `columns` belongs to.
    pub schema: u32,
    /// The column list of the INSERT, separated by commas.
    pub columns: String,
    /// Rows.
    pub rows: u64,
    /// Time of the first row, milliseconds since 1970 UTC: received_at of flows, else the time of sealing.
    pub first_ms: i64,
    /// Time of the last row.
    pub last_ms: i64,
    /// How `body` is to be read.
    pub compression: Compression,
    /// The block, or the frames that hold it.
    pub body: Bytes,
    /// Bytes of the block.
    pub raw_len: u64,
}

/// Encodes bundles; keeps its buffers between them.
#[derive(Debug)]
pub struct Encoder {
    compression: Compression,
    block: Block,
    /// The smallest are for usage, the largest for flows.
    buffers: Arc<Buffers>,
}

impl EncodedSection {
    /// Flow rows: only these enter law (e).
    pub fn flow_rows(&self) -> u64 {
        match self.table {
            Table::Flows => self.rows,
            _ => 0,
        }
    }

    /// The block as ClickHouse's `FORMAT Native` has it.
    ///
    /// # Errors
    /// When the frames of the body are damaged.
    pub fn block(&self) -> Result<Vec<u8>, Error> {
        match self.compression {
            Compression::None => Ok(self.body.to_vec()),
            Compression::Lz4 => frame::unpack(&self.body).ok_or(Error::Frames),
        }
    }

    /// The number of the token: `flows.batch`.
    pub fn id(&self) -> u64 {
        crate::batch::token_id(&self.token)
    }
}

impl Encoder {
    /// An encoder of bodies in the given form.
    pub fn new(compression: Compression) -> Self {
        Encoder {
            compression,
            block: Block::default(),
            buffers: Arc::default(),
        }
    }

    /// Encodes all batches of a bundle.
    pub fn encode(&mut self, bundle: &Bundle) -> EncodedBundle {
        let sections = bundle.batches.iter().map(|b| self.section(bundle, b));
        EncodedBundle {
            sequence: bundle.sequence,
            created_ms: bundle.sealed_at_ns / 1_000_000,
            positions: bundle.positions.clone(),
            sections: sections.collect(),
        }
    }

    /// Where the memory of bodies goes back to.
    pub fn buffers(&self) -> &Arc<Buffers> {
        &self.buffers
    }

    fn section(&mut self, bundle: &Bundle, batch: &Batch) -> EncodedSection {
        let spare = match batch.table {
            Table::Flows => self.buffers.largest(),
            Table::Usage1m => self.buffers.smallest(),
            // all other tables have small bodies
            _ => Vec::new(),
        };
        let (columns, raw_len, body) = match self.compression {
            Compression::None => {
                self.block.reuse(spare);
                self.write(bundle, batch);
                let (block, columns) = self.block.finish();
                let (columns, raw_len) = (columns.to_owned(), block.len());
                (columns, raw_len, Bytes::from(self.block.take()))
            }
            Compression::Lz4 => {
                self.write(bundle, batch);
                let (block, columns) = self.block.finish();
                (columns.to_owned(), block.len(), frame::lz4(block, spare))
            }
        };
        let (first_ms, last_ms) = times(bundle, batch);
        EncodedSection {
            table: batch.table,
            partition: batch.partition,
            token: batch.token.clone(),
            schema: super::schema::VERSION,
            columns,
            rows: batch.content.rows() as u64,
            first_ms,
            last_ms,
            compression: self.compression,
            body,
            raw_len: raw_len as u64,
        }
    }

    fn write(&mut self, bundle: &Bundle, batch: &Batch) {
        let out = &mut self.block;
        out.start(batch.content.rows());
        match &batch.content {
            Content::Flows(range) => {
                let rows = flows::Rows::new(bundle, batch, range.clone());
                for c in flows::COLUMNS {
                    let mark = out.column(c.name, c.kind);
                    if !(c.write)(&rows, out) {
                        out.retract(mark);
                    }
                }
            }
            Content::Usage(rows) => small(bundle, rows, tables::USAGE, out),
            Content::Networks(rows) => small(bundle, rows, tables::NETWORK_USAGE, out),
            Content::Talkers(rows) => small(bundle, rows, tables::TALKERS, out),
            Content::Ledger(rows) => small(bundle, rows, tables::LEDGER, out),
            Content::Exporters(rows) => small(bundle, rows, tables::EXPORTERS, out),
            Content::Counters(rows) => small(bundle, rows, tables::INTERFACE_COUNTERS, out),
            Content::Detections(rows) => small(bundle, rows, tables::DETECTION_EVENTS, out),
            Content::Inventory(rows) => small(bundle, rows, inventory(batch.table), out),
        }
    }
}

/// When the first and the last row were received; for rows that were not, when they were sealed.
fn times(bundle: &Bundle, batch: &Batch) -> (i64, i64) {
    let sealed = bundle.sealed_at_ns / 1_000_000;
    let Content::Flows(range) = &batch.content else {
        return (sealed, sealed);
    };
    let received = bundle.order[range.clone()].iter().map(|r| {
        let p = bundle.flows[r.batch()].provenance_of(r.row());
        p.received_at_ns / 1_000_000
    });
    received.fold((i64::MAX, i64::MIN), |(a, b), t| (a.min(t), b.max(t)))
}

fn small<R>(bundle: &Bundle, rows: &[R], columns: &[tables::Column<R>], out: &mut Block) {
    let all = tables::Rows {
        rows,
        names: &bundle.names,
        sealed_ms: bundle.sealed_at_ns / 1_000_000,
    };
    all.write(columns, out);
}

fn inventory(table: Table) -> &'static [tables::Column<Learned>] {
    match table {
        Table::Applications => tables::APPLICATIONS,
        Table::Templates => tables::TEMPLATES,
        Table::ApplicationCatalog => tables::APPLICATION_CATALOG,
        Table::Networks => tables::NETWORKS,
        Table::QosClasses => tables::QOS_CLASSES,
        Table::QosCodePoints => tables::QOS_CODE_POINTS,
        Table::QosExpected => tables::QOS_EXPECTED,
        Table::Vrfs => tables::VRFS,
        Table::ObservationPoints => tables::OBSERVATION_POINTS,
        _ => tables::INTERFACES,
    }
}

/// The columns of a table as (name, type), in the order in which they are written.
pub fn columns(table: Table) -> Vec<(&'static str, &'static str)> {
    fn of<R>(columns: &'static [tables::Column<R>]) -> Vec<(&'static str, &'static str)> {
        columns.iter().map(|c| (c.name, c.kind)).collect()
    }
    match table {
        Table::Flows => flows::COLUMNS.iter().map(|c| (c.name, c.kind)).collect(),
        Table::Usage1m => of(tables::USAGE),
        Table::NetworkUsage1m => of(tables::NETWORK_USAGE),
        Table::Talkers1m => of(tables::TALKERS),
        Table::Ledger => of(tables::LEDGER),
        Table::Exporters => of(tables::EXPORTERS),
        Table::InterfaceCounters => of(tables::INTERFACE_COUNTERS),
        Table::DetectionEvents => of(tables::DETECTION_EVENTS),
        _ => of(inventory(table)),
    }
}

const _: () = assert!(
    flows::COLUMNS.len() < 0x80,
    "the block head has one byte for it"
);
