//! A report as a page: one file that needs no network, no script, and reads in light and dark.

use super::figures::*;
use super::period::stamp;
use super::terminal::certainty;
use super::{METHOD, sections};
use crate::cli::text::{self, escaped};

/// The whole file.
pub fn page(report: &Report) -> String {
    let period = format!("{} to {} UTC", stamp(report.from), stamp(report.to));
    let mut body = head(report, &period);
    for section in sections::all(report) {
        body += &section;
    }
    let method: String = METHOD
        .iter()
        .map(|m| format!("<li>{}</li>", escaped(m)))
        .collect();
    body += &format!(
        "<section><h2>How the numbers are made</h2><ul class=\"method\">{method}</ul></section>"
    );
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light dark\"><meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>Flowhouse report, {period}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )
}

const STYLE: &str = include_str!("page.css");
/// Most rows of a table; the JSON has all.
const ROWS_MAX: usize = 100;

/// A cell of a table.
pub enum Cell {
    /// A text.
    Text(String),
    /// A number with its unit.
    Number(String),
    /// A part of something, as a bar with its text.
    Bar(Option<f64>),
    /// A link with its description.
    Link(LinkName),
    /// What a mark says, and whether it is a bad one.
    Mark(&'static str, bool),
}

impl Cell {
    fn html(&self) -> String {
        match self {
            Cell::Text(t) => format!("<td>{}</td>", escaped(t)),
            Cell::Number(t) => format!("<td class=\"n\">{}</td>", escaped(t)),
            Cell::Bar(None) => "<td class=\"n dim\">-</td>".into(),
            Cell::Bar(Some(share)) => {
                let width = (share * 100.0).clamp(0.0, 100.0);
                let class = match share {
                    s if *s >= 0.8 => " hot",
                    s if *s >= 0.5 => " warm",
                    _ => "",
                };
                format!(
                    "<td class=\"n\"><span class=\"bar{class}\"><i style=\"width:{width:.1}%\"></i></span>{}</td>",
                    text::percent(*share)
                )
            }
            Cell::Link(name) => {
                let description = match name.description.as_str() {
                    "" => String::new(),
                    d => format!("<small>{}</small>", escaped(d)),
                };
                format!("<td>{}{description}</td>", escaped(&name.text()))
            }
            Cell::Mark(text, bad) => {
                format!(
                    "<td><span class=\"mark{}\">{text}</span></td>",
                    if *bad { " bad" } else { "" }
                )
            }
        }
    }
}

/// A cell with a rate.
pub fn rate(bits_per_second: f64) -> Cell {
    Cell::Number(text::bit_rate(bits_per_second))
}

/// A table under a heading; nothing where there are no rows.
pub fn section<T>(
    title: &str,
    lead: &str,
    header: &[&str],
    list: &[T],
    row: impl Fn(&T) -> Vec<Cell>,
) -> String {
    if list.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<Cell>> = list.iter().take(ROWS_MAX).map(row).collect();
    let numeric = |n: usize| {
        let cell = rows.first().and_then(|r| r.get(n));
        matches!(cell, Some(Cell::Number(_) | Cell::Bar(_)))
    };
    let header: String = header
        .iter()
        .enumerate()
        .map(|(n, h)| {
            format!(
                "<th{}>{}</th>",
                if numeric(n) { " class=\"n\"" } else { "" },
                escaped(h)
            )
        })
        .collect();
    let body: String = rows
        .iter()
        .map(|r| format!("<tr>{}</tr>", r.iter().map(Cell::html).collect::<String>()))
        .collect();
    let more = match list.len().saturating_sub(ROWS_MAX) {
        0 => String::new(),
        n => format!("<p class=\"dim\">{n} more are in the JSON form.</p>"),
    };
    format!(
        "<section><h2>{}</h2><p class=\"dim\">{}</p><div class=\"wide\"><table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>{more}</section>",
        escaped(title),
        escaped(lead)
    )
}

fn head(report: &Report, period: &str) -> String {
    let total = &report.total;
    let mut tiles = vec![
        (
            text::bytes(total.bytes as f64),
            format!("each byte once, ± {}", certainty(&total.certainty)),
        ),
        (
            text::bit_rate(total.bits_per_second),
            "on average".to_owned(),
        ),
    ];
    if let Some(hour) = total.busy_hour {
        let at = format!("in the busy hour, {}", stamp(hour.from));
        tiles.push((text::bit_rate(hour.bits_per_second), at));
    }
    for (count, one, many) in [
        (
            report.links.len(),
            "link with traffic",
            "links with traffic",
        ),
        (report.over_used.len(), "side over-used", "sides over-used"),
        (
            report.under_used.len(),
            "link under-used",
            "links under-used",
        ),
    ] {
        let what = if count == 1 { one } else { many };
        tiles.push((count.to_string(), what.into()));
    }
    let tiles: String = tiles
        .iter()
        .map(|(value, what)| {
            format!(
                "<div><b>{}</b><span>{}</span></div>",
                escaped(value),
                escaped(what)
            )
        })
        .collect();
    let limited: String = [
        ("exporter", &report.exporter),
        ("interface", &report.interface),
    ]
    .iter()
    .filter_map(|(name, value)| {
        value
            .as_ref()
            .map(|v| format!(", only {name} {}", escaped(v)))
    })
    .collect();
    let left_out = match report.links_left_out {
        0 => String::new(),
        n => format!("<p class=\"bad\">{n} more links with less traffic are not looked at.</p>"),
    };
    format!(
        "<header><h1>Links, classes and applications</h1><p>{period}, {} samples of 5 minutes{limited}</p>{left_out}<div class=\"tiles\">{tiles}</div></header>",
        report.samples
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_need_nothing_and_trust_nobody() {
        let hostile =
            "</title><script>alert(1)</script><img src=x onerror=y>\" onmouseover='z'\u{202e}\u{0}"
                .to_owned();
        let name = LinkName {
            exporter: "192.0.2.1".into(),
            if_index: 7,
            name: hostile.clone(),
            description: hostile.clone(),
        };
        let side = Side {
            direction: "ingress".into(),
            applications: vec![AppUse {
                app: hostile.clone(),
                bytes: 1,
                share: 1.0,
            }],
            ..Side::default()
        };
        let link = Link {
            name: name.clone(),
            sides: vec![side.clone(), side],
            course: Some(SideCourse::default()),
            ..Link::default()
        };
        let report = Report {
            interface: Some(hostile.clone()),
            links: vec![link],
            silent: vec![Silent {
                name,
                speed: Some(1),
            }],
            course: Course {
                step: 300,
                lines: vec![Line {
                    name: hostile,
                    bits_per_second: vec![2.0, 1.0],
                }],
            },
            ..Report::default()
        };
        let page = page(&report);
        for part in [
            "<script",
            "<img",
            "' onmouse",
            "\" onmouse",
            "\u{202e}",
            "\u{0}",
            "http://",
            "https://",
            "url(",
            "@import",
        ] {
            assert!(!page.contains(part), "{part}");
        }
        assert!(page.matches("&lt;script&gt;").count() > 5);
        assert!(page.contains("Content-Security-Policy") && page.contains("prefers-color-scheme"));
    }
}
