//! Why a ranking has no rows.

use super::What;
use super::question::{Plan, Question};
use crate::assemble::query::{Reader, number, text as cell};
use crate::cli::report::stamp;
use crate::cli::text;
use anyhow::Result;

/// What the store has of that which was asked for.
#[derive(Clone, Debug, Default)]
struct Known {
    /// How many exporters there are, and the first of them.
    exporters: u64,
    some: String,
    /// Whether the one that was asked for is among them.
    exporter: bool,
    /// Whether there is usage of the time, and how many bytes, whatever the condition says.
    booked: bool,
    bytes: f64,
    /// When there was usage last, seconds since 1970; 0 for never.
    last: i64,
}

/// Why nothing was found, in words.
///
/// # Errors
/// When the store cannot be asked.
pub fn why(reader: &Reader, question: &Question, plan: &Plan<'_>) -> Result<String> {
    let all = reader.row(EXPORTERS)?;
    let booked = plan.booked();
    let booked = reader.bound_rows(&booked.sql, &booked.values)?;
    let booked = booked.into_iter().next().unwrap_or_default();
    let of = |name| number(&booked, name);
    let list = cell(&all, "list");
    let asked = question.exporter.map(|e| e.to_canonical().to_string());
    let known = Known {
        exporters: number(&all, "exporters") as u64,
        exporter: asked.is_none_or(|asked| list.split(' ').any(|e| e == asked)),
        some: list
            .split(' ')
            .take(NAMED_MAX)
            .collect::<Vec<_>>()
            .join(", "),
        booked: of("booked") > 0.0,
        bytes: of("bytes"),
        last: of("last") as i64,
    };
    Ok(said(question, &known))
}

fn said(question: &Question, known: &Known) -> String {
    let of = question
        .exporter
        .map_or(String::new(), |e| format!(" of {e}"));
    match question.exporter {
        _ if known.exporters == 0 && known.last == 0 => {
            "the store has no flows yet: let exporters send to `flowhouse run`".into()
        }
        Some(exporter) if !known.exporter => {
            let more = known.exporters > NAMED_MAX as u64;
            let more = if more { ", ..." } else { "" };
            let (all, some) = (known.exporters, &known.some);
            format!("no exporter {exporter} is known; there are {all}: {some}{more}")
        }
        _ if !known.booked && known.last == 0 => format!("there were no flows{of} yet"),
        _ if !known.booked => {
            let hour = stamp(known.last);
            format!(
                "there were no flows{of} in that time; the last ones are of the hour from {hour} UTC"
            )
        }
        _ if question.filter.is_some() => {
            let bytes = text::bytes(known.bytes);
            format!("nothing{of} in that time fits the condition; without it there are {bytes}")
        }
        _ if question.what == What::Networks => {
            format!("no flow{of} in that time has a network with a name: see enrich.networks")
        }
        _ => format!("nothing{of} in that time can be ranked so"),
    }
}

/// The exporters, separated by spaces.
const EXPORTERS: &str = "SELECT uniqExact(exporter) AS exporters, arrayStringConcat(arraySort(groupUniqArray(10000)(\
                         replaceRegexpOne(toString(exporter), '^::ffff:([0-9.]+)$', '\\\\1'))), ' ') AS list FROM exporters";
/// Exporters that are named.
const NAMED_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::top::filter::Filter;
    use crate::cli::top::{Limit, Time};

    #[test]
    fn each_reason_has_its_words() {
        let question = |exporter: Option<&str>, condition: Option<&str>, what| Question {
            what,
            time: Time::Last(60),
            limit: Limit::Rows(1),
            exporter: exporter.map(|e| e.parse().expect("an address")),
            filter: condition.map(|c| Filter::parse(c).expect("read")),
        };
        let known = Known {
            exporters: 7,
            some: "192.0.2.1, 192.0.2.2".into(),
            exporter: true,
            booked: true,
            bytes: 2e9,
            last: 1_769_846_400,
        };
        let (one, dns) = (Some("192.0.2.9"), Some("app = dns"));
        let none = Known::default();
        let unknown = Known {
            exporter: false,
            ..known.clone()
        };
        let silent = Known {
            booked: false,
            ..known.clone()
        };
        let never = Known {
            last: 0,
            ..silent.clone()
        };
        for (question, known, part) in [
            (question(one, dns, What::Apps), &none, "has no flows yet"),
            (
                question(one, dns, What::Apps),
                &unknown,
                "no exporter 192.0.2.9 is known; there are 7: 192.0.2.1, 192.0.2.2, ...",
            ),
            (
                question(one, dns, What::Apps),
                &silent,
                "no flows of 192.0.2.9 in that time; the last ones are of the hour from 2026-01-31 08:00 UTC",
            ),
            (
                question(one, None, What::Apps),
                &never,
                "no flows of 192.0.2.9 yet",
            ),
            (
                question(None, dns, What::Apps),
                &known,
                "nothing in that time fits the condition; without it there are 2.00 GB",
            ),
            (
                question(None, None, What::Networks),
                &known,
                "enrich.networks",
            ),
        ] {
            let said = said(&question, known);
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}
