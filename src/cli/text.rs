//! Numbers and tables for people.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// A rate in bit/s with its unit, three significant digits: `12.3 Mbit/s`.
pub fn bit_rate(bits_per_second: f64) -> String {
    scaled(bits_per_second, "bit/s")
}

/// A count with its unit: `1.23 M`.
pub fn count(n: f64) -> String {
    scaled(n, "").trim_end().to_owned()
}

/// Bytes with a decimal unit: `1.23 GB`.
pub fn bytes(n: f64) -> String {
    scaled(n, "B")
}

/// A share as percent: `12.3 %`.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A length of time with the unit that suits it: `12.3 s`, `31.0 days`.
pub fn seconds(n: f64) -> String {
    let steps = [(86_400.0, "days"), (3_600.0, "h"), (60.0, "min")];
    let step = steps.iter().find(|s| n.abs() >= 2.0 * s.0);
    let (value, unit) = step.map_or((n, "s"), |s| (n / s.0, s.1));
    format!("{value:.1} {unit}")
}

/// A text without what would steer a terminal or turn the direction of reading: names come from exporters.
pub fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        c if c.is_control() => '\u{fffd}',
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

/// A text for a page, in an element or between quotation marks.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            c => out.push(c),
        }
    }
    out
}

/// An aligned table: the first `left` columns are texts, the others numbers.
pub fn table(header: &[&str], left: usize, rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|h| h.to_string()));
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if i >= left {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let text = table.to_string();
    text.lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

fn scaled(n: f64, unit: &str) -> String {
    let steps = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let (value, prefix) = steps
        .iter()
        .find(|s| n.abs() >= s.0)
        .map_or((n, ""), |s| (n / s.0, s.1));
    let decimals = match value.abs() {
        v if v >= 100.0 || v.fract() == 0.0 && prefix.is_empty() => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$} {prefix}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_follow_the_size() {
        assert_eq!(bit_rate(12_345_678.0), "12.3 Mbit/s");
        assert_eq!(bit_rate(0.0), "0 bit/s");
        assert_eq!(bytes(1_234.0), "1.23 kB");
        assert_eq!(count(5.0), "5");
        assert_eq!(percent(0.1234), "12.3 %");
        let times = [-3.04, 119.0, 400.0, 7_200.0, 86_400.0, 2_678_400.0].map(seconds);
        assert_eq!(
            times,
            [
                "-3.0 s",
                "119.0 s",
                "6.7 min",
                "2.0 h",
                "24.0 h",
                "31.0 days"
            ]
        );
    }

    #[test]
    fn numbers_stand_right() {
        let text = table(
            &["app", "rate"],
            1,
            [
                vec!["dns".into(), "1 bit/s".into()],
                vec!["https".into(), "10 bit/s".into()],
            ],
        );
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1].len(), lines[2].len());
        assert!(lines[1].starts_with("dns"));
    }
}
