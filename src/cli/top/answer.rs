//! A ranking as a table and as JSON.

use super::What;
use super::question::Plan;
use crate::assemble::query::{Rows, address, number, text as cell};
use crate::cli::text;
use serde_json::{Map, Value, json};

/// A ranking with what it is measured against.
#[derive(Debug)]
pub struct Answer {
    what: What,
    seconds: f64,
    /// From when on bytes count towards rates, seconds since 1970 UTC; none: all do.
    from: Option<u64>,
    total_bytes: f64,
    rows: Rows,
    begin: u64,
    step: u64,
    steps: usize,
    /// Why it was slow.
    raw: Option<String>,
    /// Why there are no rows.
    empty: Option<String>,
}

impl Answer {
    /// The answer to a plan. Rates are of so many `seconds` from a time on, shares are of `total_bytes`.
    pub fn new(
        what: What,
        plan: &Plan<'_>,
        (from, seconds): (u64, f64),
        total_bytes: f64,
        rows: Rows,
    ) -> Answer {
        Answer {
            what,
            seconds: seconds.max(1.0),
            from: Some(from),
            total_bytes,
            rows,
            begin: plan.begin,
            step: plan.step,
            steps: plan.steps(),
            raw: plan.why_raw(),
            empty: None,
        }
    }

    /// The same with the reason why there are no rows.
    pub fn because(mut self, reason: String) -> Self {
        self.empty = Some(reason);
        self
    }

    /// The same over a time that the caller knows better than the minutes in the store tell.
    pub fn over(mut self, seconds: f64) -> Self {
        (self.seconds, self.from) = (seconds.max(1.0), None);
        self
    }

    /// The ranking as an aligned table.
    pub fn table(&self) -> String {
        self.table_in(usize::MAX)
    }

    /// The same for a terminal of so many columns: the course has what the others leave, and where that is nearly nothing packets and flows
    /// make room for it. Where even then the line is too long, bytes and the course go, and names are cut.
    pub fn table_in(&self, width: usize) -> String {
        let (header, left, rows) = self.columns();
        let taken = |header: &[&str], rows: &[Vec<String>]| {
            let table = text::table(header, left, rows.iter().cloned());
            let lines = table.lines().map(|l| l.chars().count());
            lines.max().unwrap_or(0) + 2
        };
        let (mut header, mut rows) = (header, rows);
        let mut room = width.saturating_sub(taken(&header, &rows));
        if room < COURSE_MIN.min(self.steps) {
            leave_out(&["packets", "flows"], &mut header, &mut rows);
            room = width.saturating_sub(taken(&header, &rows));
        }
        if room == 0 {
            leave_out(&["bytes"], &mut header, &mut rows);
            shorten(
                left,
                (taken(&header, &rows) - 2).saturating_sub(width),
                &mut rows,
            );
            return self.with_notes(text::table(&header, left, rows));
        }
        header.push("course");
        let each = self
            .steps
            .div_ceil(room.clamp(COURSE_MIN, self.steps.max(COURSE_MIN)));
        for (row, r) in rows.iter_mut().zip(&self.rows) {
            let course: Vec<u64> = self
                .course(r)
                .chunks(each.max(1))
                .map(|c| c.iter().sum())
                .collect();
            row.push(sparkline(&course));
        }
        self.with_notes(text::table(&header, left, rows))
    }

    fn with_notes(&self, mut table: String) -> String {
        for said in [&self.empty, &self.raw].into_iter().flatten() {
            table += &format!("\n({said})");
        }
        table
    }

    /// Headings, how many of them stand left, and the rows, all without the course.
    fn columns(&self) -> (Vec<&str>, usize, Vec<Vec<String>>) {
        let keys = self.what.keys();
        let mut header: Vec<&str> = keys.iter().map(|k| k.1).collect();
        let left = header.len();
        header.extend(["rate", "share", "bytes", "packets", "flows", "+-"]);
        let (links, bounded) = (self.what == What::Interfaces, self.is_bounded());
        header.extend(links.then_some("used"));
        header.extend(bounded.then_some("missing"));
        let rows = self.rows.iter().map(|r| {
            let bytes = number(r, "est_bytes");
            let mut line: Vec<String> = keys.iter().map(|k| key_text(r, k.0)).collect();
            line.extend([
                text::bit_rate(self.rate(r)),
                if self.total_bytes > 0.0 {
                    text::percent(bytes / self.total_bytes)
                } else {
                    "-".into()
                },
                text::bytes(bytes),
                text::count(number(r, "est_packets")),
                text::count(number(r, "flows")),
                certainty(r),
            ]);
            if links {
                line.push(used(r, self.rate(r)).map_or("-".into(), text::percent));
            }
            if bounded {
                line.push(match number(r, "error_bytes") {
                    0.0 => "-".into(),
                    most => format!("< {}", text::bytes(most)),
                });
            }
            line
        });
        (header, left, rows.collect())
    }

    /// The ranking as JSON.
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(|r| self.json_row(r)).collect();
        let mut answer = json!({
            "top": self.what.name(), "seconds": self.seconds, "total_est_bytes": self.total_bytes,
            "raw_scan": self.raw.is_some(), "course_from": self.begin, "course_step_seconds": self.step, "rows": rows,
        });
        if let Some(from) = self.from {
            answer["rates_from"] = json!(from);
        }
        if let Some(reason) = &self.empty {
            answer["empty_because"] = json!(reason);
        }
        answer
    }

    fn json_row(&self, r: &Map<String, Value>) -> Value {
        let mut row: Map<String, Value> = self
            .what
            .keys()
            .iter()
            .map(|k| (k.0.into(), key_json(r, k.0)))
            .collect();
        for name in [
            "bytes",
            "packets",
            "flows",
            "est_bytes",
            "est_packets",
            "sampled_packets",
        ] {
            row.insert(name.into(), r.get(name).cloned().unwrap_or(Value::Null));
        }
        row.insert("bits_per_second".into(), json!(self.rate(r)));
        let share = number(r, "est_bytes") / self.total_bytes.max(1.0);
        row.insert("share".into(), json!(share));
        let unknown = unknown_share(r);
        row.insert("sampling_known".into(), json!(unknown == 0.0));
        row.insert("sampling_unknown_share".into(), json!(unknown));
        let error = (unknown == 0.0).then(|| error(r).unwrap_or(0.0));
        row.insert("relative_error".into(), json!(error));
        if let Some(used) = used(r, self.rate(r)) {
            row.insert("utilisation".into(), json!(used));
        }
        if let Some(missing) = r.get("error_bytes") {
            row.insert("error_bytes".into(), missing.clone());
        }
        row.insert("course_est_bytes".into(), json!(self.course(r)));
        row.into()
    }

    /// Bit/s.
    fn rate(&self, r: &Map<String, Value>) -> f64 {
        let bytes = match self.from {
            Some(_) => number(r, "rate_bytes"),
            None => number(r, "est_bytes"),
        };
        bytes * 8.0 / self.seconds
    }

    /// Whether rows may lack bytes: heavy hitters.
    fn is_bounded(&self) -> bool {
        self.rows.iter().any(|r| r.contains_key("error_bytes"))
    }

    /// Estimated bytes in each step.
    fn course(&self, row: &Map<String, Value>) -> Vec<u64> {
        let mut course = vec![0; self.steps];
        let part = |n: usize| row.get("steps")?.get(n)?.as_array();
        if let (Some(steps), Some(bytes)) = (part(0), part(1)) {
            for (step, bytes) in steps.iter().zip(bytes) {
                let step = step.as_u64().unwrap_or(0) as usize;
                // what is booked ahead of now belongs to the last step
                let place = step.min(self.steps - 1);
                course[place] += bytes.as_u64().unwrap_or(0);
            }
        }
        course
    }
}

/// Takes columns out.
fn leave_out(names: &[&str], header: &mut Vec<&str>, rows: &mut [Vec<String>]) {
    let keep: Vec<bool> = header.iter().map(|h| !names.contains(h)).collect();
    for row in rows {
        let mut kept = keep.iter();
        row.retain(|_| *kept.next().unwrap_or(&true));
    }
    header.retain(|h| !names.contains(h));
}

/// Makes the table so many columns narrower, as far as names can be cut: always the longest.
fn shorten(left: usize, by: usize, rows: &mut [Vec<String>]) {
    let widest = |rows: &[Vec<String>], n: usize| {
        let cells = rows.iter().filter_map(|r| r.get(n));
        cells.map(|c| c.chars().count()).max().unwrap_or(0)
    };
    for _ in 0..by {
        let Some(n) = (0..left).max_by_key(|n| widest(rows, *n)) else {
            return;
        };
        let to = widest(rows, n);
        if to <= NAME_MIN {
            return;
        }
        for row in rows.iter_mut() {
            let cell = &mut row[n];
            if cell.chars().count() == to {
                *cell = cell.chars().take(to - 2).chain(['…']).collect();
            }
        }
    }
}

/// Bars as high as the numbers, the largest full; nothing for 0.
fn sparkline(numbers: &[u64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let max = numbers.iter().copied().max().unwrap_or(0).max(1);
    let bar = |n: &u64| match n {
        0 => ' ',
        n => BARS[(((n - 1) as f64 / max as f64 * 8.0) as usize).min(7)],
    };
    numbers.iter().map(bar).collect()
}

impl What {
    /// Columns that name a row, with their headings.
    fn keys(self) -> &'static [(&'static str, &'static str)] {
        match self {
            What::Apps => &[("app", "application"), ("app_proto", "protocol")],
            What::Classes => &[("qos_class", "class")],
            What::Interfaces => &[
                ("exporter", "exporter"),
                ("if_index", "ifIndex"),
                ("name", "interface"),
                ("direction", "direction"),
            ],
            What::Hosts => &[("address", "address")],
            What::Networks => &[("src_net", "from network"), ("dst_net", "to network")],
            What::As => &[("as_number", "AS")],
            What::Exporters => &[("exporter", "exporter")],
        }
    }

    fn name(self) -> &'static str {
        match self {
            What::Apps => "apps",
            What::Classes => "classes",
            What::Interfaces => "interfaces",
            What::Hosts => "hosts",
            What::Networks => "networks",
            What::As => "as",
            What::Exporters => "exporters",
        }
    }
}

fn key_text(row: &Map<String, Value>, name: &str) -> String {
    let text = match name {
        "exporter" | "address" => address(row, name),
        _ => cell(row, name),
    };
    match name {
        "src_net" | "dst_net" if text.is_empty() => "-".into(),
        // reserved (RFC 7607): what exporters send for their own AS, and for one that they do not know
        "as_number" if text == "0" => "0 (none told)".into(),
        _ => text,
    }
}

fn key_json(row: &Map<String, Value>, name: &str) -> Value {
    match row.get(name) {
        Some(n @ Value::Number(_)) => n.clone(),
        _ if name.ends_with("_net") => cell(row, name).into(),
        _ => key_text(row, name).into(),
    }
}

/// `exact`, or the error that sampling causes, with the share of which an exporter does not say whether it samples; `?` where that is all.
fn certainty(row: &Map<String, Value>) -> String {
    let told = error(row).map_or("exact".into(), text::percent);
    match unknown_share(row) {
        0.0 => told,
        share if share > 0.9995 => "?".into(),
        share if share < 0.001 => format!("{told}, < 0.1 % ?"),
        share => format!("{told}, {} ?", text::percent(share)),
    }
}

/// The share of the bytes of which nobody knows whether they were sampled.
fn unknown_share(row: &Map<String, Value>) -> f64 {
    match number(row, "est_bytes") {
        0.0 => 0.0,
        bytes => number(row, "unknown_bytes") / bytes,
    }
}

/// The relative error of an estimate; `None` where nothing was scaled.
fn error(row: &Map<String, Value>) -> Option<f64> {
    let (variance, bytes) = (number(row, "variance"), number(row, "est_bytes"));
    (variance > 0.0 && bytes > 0.0).then(|| crate::model::error_of(variance, bytes))
}

fn used(row: &Map<String, Value>, bit_rate: f64) -> Option<f64> {
    let speed = number(row, "speed");
    (speed > 0.0).then(|| bit_rate / speed)
}

/// Names are not cut below this.
const NAME_MIN: usize = 10;
/// Columns of a course that still shows something.
const COURSE_MIN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn row(json: Value) -> Map<String, Value> {
        json.as_object().expect("an object").clone()
    }

    #[test]
    fn the_course_has_what_a_terminal_leaves() {
        let side = |name: &str| {
            row(json!({
                "exporter": "2001:db8:1234:5678::10", "if_index": 1_001, "name": name, "direction": "ingress", "unknown_bytes": 0,
                "speed": 10_000_000_000u64, "est_bytes": 123_000_000, "bytes": 123_000_000, "packets": 90_000, "est_packets": 90_000, "flows": 7_000,
                "steps": [[0, 23], [100, 100]],
            }))
        };
        let answer = Answer {
            what: What::Interfaces,
            seconds: 60.0,
            from: None,
            total_bytes: 246e6,
            rows: vec![side("Hu0/0/0/1"), side("TenGigE0/0/0/12.1001")],
            begin: 0,
            step: 60,
            steps: 24,
            raw: None,
            empty: None,
        };
        let whole = answer.table();
        let widest = |t: &str| t.lines().map(|l| l.chars().count()).max().unwrap_or(0);
        assert!(widest(&whole) > 120 && whole.contains("flows"), "{whole}");
        for width in [120, 132, 140] {
            let table = answer.table_in(width);
            assert!(widest(&table) <= width, "{width}\n{table}");
            assert!(table.contains("course"), "{table}");
            // the first and the last step are there
            let line = table.lines().nth(1).expect("a row");
            assert_eq!(line.matches('█').count(), 2, "{table}");
        }
        assert_eq!(answer.table_in(usize::MAX), whole);
        // what was asked for stays where the course does not
        let table = answer.table_in(80);
        assert!(widest(&table) <= 80, "{table}");
        assert!(
            table.contains("used") && table.contains("+-") && table.contains('…'),
            "{table}"
        );
        assert_eq!(table.matches("exact").count(), 2, "{table}");
    }

    #[test]
    fn numbers_that_say_nothing_are_words() {
        let mut answer = Answer {
            what: What::Hosts,
            seconds: 60.0,
            from: None,
            total_bytes: 0.0,
            rows: vec![row(
                json!({"address": "::ffff:192.0.2.1", "error_bytes": 0}),
            )],
            begin: 0,
            step: 60,
            steps: 1,
            raw: None,
            empty: None,
        };
        assert!(!answer.table().contains('<'), "{}", answer.table());
        answer.rows = vec![row(json!({"as_number": 0}))];
        answer.what = What::As;
        assert!(
            answer.table().contains("0 (none told)"),
            "{}",
            answer.table()
        );
    }

    #[test]
    fn an_unknown_share_does_not_hide_the_rest() {
        let of = |unknown: u64| {
            certainty(&row(json!({
                "unknown_bytes": unknown, "est_bytes": 1_000_000, "bytes": 1_000_000, "packets": 10, "est_packets": 10,
            })))
        };
        assert_eq!(of(0), "exact");
        assert_eq!(of(1), "exact, < 0.1 % ?");
        assert_eq!(of(120_000), "exact, 12.0 % ?");
        assert_eq!(of(1_000_000), "?");
    }

    #[test]
    fn bars_follow_the_numbers() {
        assert_eq!(sparkline(&[0, 1, 4, 8]), " ▁▄█");
        assert_eq!(sparkline(&[0, 0]), "  ");
        assert_eq!(sparkline(&[u64::MAX, 1]), "█▁");
        assert_eq!(sparkline(&[]), "");
    }
}
