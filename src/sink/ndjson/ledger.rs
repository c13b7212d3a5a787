//! `ledger.json`.

use crate::ledger::{Book, Gauges, Outcome, laws};
use crate::model::Addr;
use serde_json::{Map, Value, json};

/// The laws, the totals of every outcome, and what each exporter and domain counted.
pub fn ledger(book: &Book, gauges: &Gauges) -> Value {
    let total = book.total();
    let laws = laws(&total, gauges)
        .into_iter()
        .map(|l| json!({"name": l.name, "left": l.left, "right": l.right, "holds": l.holds()}));
    let totals = Outcome::ALL
        .iter()
        .map(|&o| (o.name().to_owned(), total.count(o).into()));
    let exporters = book.accounts().map(|((exporter, domain), tally)| {
        let mut row = Map::new();
        row.insert("exporter".into(), Addr(*exporter).to_string().into());
        row.insert("domain".into(), (*domain).into());
        row.extend(tally.iter().map(|(o, n)| (o.name().to_owned(), n.into())));
        Value::Object(row)
    });
    json!({
        "laws": laws.collect::<Vec<_>>(),
        "totals": Value::Object(totals.collect()),
        "exporters": exporters.collect::<Vec<_>>(),
    })
}
