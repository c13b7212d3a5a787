//! Records as sent: every field with its key and its bytes, before any normalisation.

use super::template::{FieldSpec, Template};

/// Walks the records of a set's body.
#[derive(Debug)]
pub struct Records<'a> {
    template: &'a Template,
    body: &'a [u8],
    at: usize,
}

impl<'a> Records<'a> {
    /// The records that `template` finds in `body` (what follows the set's header).
    pub fn new(template: &'a Template, body: &'a [u8]) -> Self {
        Records {
            template,
            body,
            at: 0,
        }
    }

    /// Bytes used so far; after the last record: where padding or a cut record begins.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Appends (offset in the body, length) of each field of the next record to `spans` and returns the record;
    /// `None` at the end of the whole records.
    pub fn next(&mut self, spans: &mut Vec<(usize, usize)>) -> Option<&'a [u8]> {
        spans.clear();
        let left = self.body.len() - self.at;
        if self.template.record_min == 0 || left < self.template.record_min {
            return None;
        }
        let mut at = self.at;
        for field in &self.template.fields {
            let (skip, length) = if self.template.is_variable(field) {
                variable_length(&self.body[at..])?
            } else {
                (0, usize::from(field.length))
            };
            at += skip;
            if self.body.len() - at < length {
                return None;
            }
            spans.push((at, length));
            at += length;
        }
        let record = &self.body[self.at..at];
        self.at = at;
        Some(record)
    }
}

/// (bytes of the length itself, bytes of the value), RFC 7011 section 7; `None` when cut.
pub(super) fn variable_length(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes {
        [255, hi, lo, ..] => Some((3, usize::from(u16::from_be_bytes([hi, lo])))),
        [255, ..] | [] => None,
        [n, ..] => Some((1, usize::from(n))),
    }
    .filter(|(skip, _)| *skip <= bytes.len())
}

/// The key of each field in raw form: the element number, `pen.number` for enterprises, `s<type>` for scopes of
/// NetFlow 9; the second and later of one template end in `#2`, `#3`.
pub fn keys(template: &Template) -> Vec<String> {
    let base = |f: &FieldSpec| match (template.version, f.scope, f.pen) {
        (9, true, _) => format!("s{}", f.element),
        (_, _, 0) => f.element.to_string(),
        (_, _, pen) => format!("{pen}.{}", f.element),
    };
    let mut seen = std::collections::HashMap::new();
    template
        .fields
        .iter()
        .map(|f| {
            let key = base(f);
            let n = seen.entry(key.clone()).and_modify(|n| *n += 1).or_insert(1);
            if *n == 1 { key } else { format!("{key}#{n}") }
        })
        .collect()
}

/// Whether what is left of a set behind its last record is padding that an exporter may send: shorter than a record of
/// at least `record_min` bytes and all zero (RFC 7011 section 3.3.1), or too short for anything.
fn is_padding(rest: &[u8], record_min: usize) -> bool {
    rest.len() < 4 || rest.len() < record_min && rest.iter().all(|b| *b == 0)
}

/// Whether a set divides into whole records: one at least, and padding shorter than a record behind the last.
pub(super) fn divides(template: &Template, body: &[u8]) -> bool {
    let (mut records, mut spans) = (Records::new(template, body), Vec::new());
    let used = match template.record_len {
        Some(len) => body.len() - body.len() % len.max(1),
        None => {
            while records.next(&mut spans).is_some() {}
            records.position()
        }
    };
    used > 0 && body.len() - used < template.record_min.max(1)
}

/// What stands behind the last whole record of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// Nothing, or padding.
    Padding,
    /// Bytes that are no record.
    Trailing,
    /// A record that says it is longer than the set.
    Cut,
}

/// Judges what is left of a set behind its last whole record.
pub(super) fn behind(template: &Template, rest: &[u8]) -> Behind {
    if is_padding(rest, template.record_min) {
        Behind::Padding
    } else if rest.len() < template.record_min {
        Behind::Trailing
    } else {
        Behind::Cut
    }
}

#[cfg(test)]
mod tests {
    use super::super::template::{TemplateHeader, VARIABLE};
    use super::*;

    fn template(version: u8, fields: &[(u32, u16, u16, bool)]) -> Template {
        let header = TemplateHeader {
            id: 256,
            version,
            options: fields.iter().any(|f| f.3),
        };
        let fields: Vec<FieldSpec> = fields
            .iter()
            .map(|&(pen, element, length, scope)| FieldSpec {
                pen,
                element,
                length,
                scope,
            })
            .collect();
        Template::new(&header, &fields)
    }

    #[test]
    fn keys_tell_duplicates_scopes_and_enterprises() {
        let v9 = template(9, &[(0, 1, 4, true), (0, 8, 4, false), (0, 8, 4, false)]);
        assert_eq!(keys(&v9), ["s1", "8", "8#2"]);
        let ipfix = template(10, &[(0, 149, 4, true), (29305, 1, 8, false)]);
        assert_eq!(keys(&ipfix), ["149", "29305.1"]);
    }

    #[test]
    fn variable_fields_and_cut_records() {
        let t = template(10, &[(0, 82, VARIABLE, false), (0, 4, 1, false)]);
        let body = [2, b'e', b'0', 6, 255, 0, 1, b'x', 17, 9, b'y'];
        let (mut records, mut spans) = (Records::new(&t, &body), Vec::new());
        assert_eq!(records.next(&mut spans), Some(&body[..4]));
        assert_eq!(spans, [(1, 2), (3, 1)]);
        assert!(records.next(&mut spans).is_some());
        assert_eq!(spans, [(7, 1), (8, 1)]);
        assert!(records.next(&mut spans).is_none());
        assert_eq!(records.position(), 9);
    }
}
