//! Templates of NetFlow 9 (RFC 3954 section 5.2, 6.1) and IPFIX (RFC 7011 section 3.4): parsed and judged.

use super::error::Reason;
use super::settings::Settings;

/// Length of a variable-length field in an IPFIX template (RFC 7011 section 7).
pub const VARIABLE: u16 = 0xffff;

/// One field of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FieldSpec {
    /// Private enterprise number; 0 for IANA's elements and for all of NetFlow 9.
    pub pen: u32,
    /// Element number without the enterprise bit; NetFlow 9: the field type, or the scope type where `scope` is set.
    pub element: u16,
    /// Bytes; [`VARIABLE`] in IPFIX where each record says.
    pub length: u16,
    /// A scope field of an options template.
    pub scope: bool,
}

/// The layout of data records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Template id, 256 and above.
    pub id: u16,
    /// 9 or 10.
    pub version: u8,
    /// Whether its records are options data.
    pub options: bool,
    /// The fields, in order; scope fields first.
    pub fields: Box<[FieldSpec]>,
    /// Bytes of a record; `None` where a field is of variable length.
    pub record_len: Option<usize>,
    /// The fewest bytes a record can have.
    pub record_min: usize,
}

impl Template {
    /// Builds a template from fields that [`TemplateReader`] has judged.
    pub fn new(header: &TemplateHeader, fields: &[FieldSpec]) -> Self {
        let variable = header.version == 10 && fields.iter().any(|f| f.length == VARIABLE);
        let record_min = fields
            .iter()
            .map(|f| match (header.version, f.length) {
                (10, VARIABLE) => 1,
                (_, n) => usize::from(n),
            })
            .sum();
        Template {
            id: header.id,
            version: header.version,
            options: header.options,
            fields: fields.into(),
            record_len: (!variable).then_some(record_min),
            record_min,
        }
    }

    /// Whether a field's length stands in each record.
    pub fn is_variable(&self, field: &FieldSpec) -> bool {
        self.version == 10 && field.length == VARIABLE
    }

    /// Whether the layout is that of `header` and `fields`.
    pub fn same_layout(&self, header: &TemplateHeader, fields: &[FieldSpec]) -> bool {
        self.options == header.options && *self.fields == *fields
    }

    /// The layout as `pen.element/length`, comma separated; scopes of NetFlow 9 as `s<type>/length`; at most 4,096
    /// bytes.
    pub fn layout(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for f in &self.fields {
            if text.len() > LAYOUT_MAX - 32 {
                text.push_str(",...");
                break;
            }
            let comma = if text.is_empty() { "" } else { "," };
            let written = match (self.version, f.scope) {
                (9, true) => write!(text, "{comma}s{}", f.element),
                _ => write!(text, "{comma}{}.{}", f.pen, f.element),
            };
            let length = match self.is_variable(f) {
                true => write!(text, "/v"),
                false => write!(text, "/{}", f.length),
            };
            debug_assert!(written.is_ok() && length.is_ok(), "a String takes all");
        }
        text
    }
}

/// What stands before the fields of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateHeader {
    /// Template id; 2 or 3 in a withdrawal of all.
    pub id: u16,
    /// 9 or 10.
    pub version: u8,
    /// Whether it is an options template.
    pub options: bool,
}

/// What a template set holds at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateEvent {
    /// A template; its fields are in the caller's buffer.
    Learned(TemplateHeader),
    /// A template without fields: a withdrawal (RFC 7011 section 8.1).
    Withdrawn(u16),
    /// A template that is refused; the set can be read on.
    Refused(u16, Reason),
}

/// Reads the templates of one set.
#[derive(Debug)]
pub struct TemplateReader<'a> {
    body: &'a [u8],
    at: usize,
    version: u8,
    options: bool,
    fields_max: usize,
    record_max: usize,
}

impl<'a> TemplateReader<'a> {
    /// Reads a set's body (what follows its header).
    pub fn new(version: u8, options: bool, body: &'a [u8], settings: &Settings) -> Self {
        TemplateReader {
            body,
            at: 0,
            version,
            options,
            fields_max: settings.template_fields_max,
            record_max: settings.record_bytes_max,
        }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The next template; its fields replace what is in `fields`. An error ends the set.
    pub fn next(&mut self, fields: &mut Vec<FieldSpec>) -> Option<Result<TemplateEvent, Reason>> {
        fields.clear();
        let rest = &self.body[self.at..];
        let id = u16_at(rest, 0)?;
        let count = u16_at(rest, 2)?;
        if id < 256 && !(count == 0 && self.version == 10 && matches!(id, 2 | 3)) {
            // padding is zero; anything else cannot be a template
            self.at = self.body.len();
            return rest
                .iter()
                .any(|b| *b != 0)
                .then_some(Err(Reason::TemplateId));
        }
        Some(if self.version == 9 && self.options {
            self.options9(id, fields)
        } else {
            self.template(id, usize::from(count), fields)
        })
    }

    /// NetFlow 9 options template (RFC 3954 section 6.1): the two lengths are bytes.
    fn options9(&mut self, id: u16, fields: &mut Vec<FieldSpec>) -> Result<TemplateEvent, Reason> {
        let rest = &self.body[self.at..];
        let scopes = usize::from(u16_at(rest, 2).unwrap_or(0));
        let Some(options) = u16_at(rest, 4).map(usize::from) else {
            // four bytes can only be padding or a withdrawal
            self.at = self.body.len();
            return Ok(TemplateEvent::Withdrawn(id));
        };
        if scopes == 0 && options == 0 {
            self.at += 6;
            return Ok(TemplateEvent::Withdrawn(id));
        }
        if scopes % 4 != 0 || options % 4 != 0 {
            return Err(Reason::TemplateLength);
        }
        self.at += 6;
        self.fields(id, scopes / 4, (scopes + options) / 4, fields)
    }

    /// Every other template; IPFIX options templates have the scope count after the field count.
    fn template(
        &mut self,
        id: u16,
        count: usize,
        fields: &mut Vec<FieldSpec>,
    ) -> Result<TemplateEvent, Reason> {
        self.at += 4;
        if count == 0 {
            return Ok(TemplateEvent::Withdrawn(id));
        }
        let mut scopes = 0;
        if self.options {
            let rest = &self.body[self.at..];
            scopes = usize::from(u16_at(rest, 0).ok_or(Reason::TemplateLength)?);
            self.at += 2;
            if scopes > count {
                return Err(Reason::TemplateLength);
            }
        }
        self.fields(id, scopes, count, fields)
    }

    fn fields(
        &mut self,
        id: u16,
        scopes: usize,
        count: usize,
        fields: &mut Vec<FieldSpec>,
    ) -> Result<TemplateEvent, Reason> {
        let (mut total, mut refused) = (0usize, None);
        for i in 0..count {
            let field = self.field(i < scopes).ok_or(Reason::TemplateLength)?;
            total += match (self.version, field.length) {
                (10, VARIABLE) => 1,
                (_, n) => usize::from(n),
            };
            if fields.len() < self.fields_max {
                fields.push(field);
            } else {
                refused = Some(Reason::TemplateFields);
            }
        }
        if total == 0 {
            refused = Some(Reason::TemplateEmpty);
        } else if total > self.record_max {
            refused = Some(Reason::TemplateRecord);
        }
        Ok(match refused {
            Some(reason) => TemplateEvent::Refused(id, reason),
            None => TemplateEvent::Learned(TemplateHeader {
                id,
                version: self.version,
                options: self.options,
            }),
        })
    }

    fn field(&mut self, scope: bool) -> Option<FieldSpec> {
        let rest = &self.body[self.at..];
        let (element, length) = (u16_at(rest, 0)?, u16_at(rest, 2)?);
        self.at += 4;
        let mut field = FieldSpec {
            pen: 0,
            element,
            length,
            scope,
        };
        if self.version == 10 && element & 0x8000 != 0 {
            let pen = rest.get(4..8)?;
            self.at += 4;
            field.pen = u32::from_be_bytes([pen[0], pen[1], pen[2], pen[3]]);
            field.element &= 0x7fff;
        }
        Some(field)
    }
}

/// The two bytes at `at`.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let b = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([b[0], b[1]]))
}

/// The four bytes at `at`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let b = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
}

/// Most bytes of a layout's text.
const LAYOUT_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(version: u8, options: bool, words: &[u16]) -> Vec<(TemplateEvent, Vec<FieldSpec>)> {
        let body: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
        let mut reader = TemplateReader::new(version, options, &body, &Settings::default());
        let (mut fields, mut seen) = (Vec::new(), Vec::new());
        while let Some(Ok(event)) = reader.next(&mut fields) {
            seen.push((event, fields.clone()));
        }
        seen
    }

    #[test]
    fn a_set_may_hold_several_templates_and_padding() {
        let seen = read(9, false, &[256, 2, 8, 4, 1, 8, 257, 1, 12, 4, 0, 0]);
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].1[1].length, 8);
        let TemplateEvent::Learned(header) = seen[1].0 else {
            panic!("{seen:?}")
        };
        let template = Template::new(&header, &seen[1].1);
        assert_eq!((template.record_len, template.record_min), (Some(4), 4));
        assert_eq!(template.layout(), "0.12/4");
    }

    #[test]
    fn enterprise_fields_and_variable_lengths() {
        let seen = read(10, false, &[300, 2, 0x8001, 0xffff, 0, 29305, 2, 8]);
        let TemplateEvent::Learned(header) = seen[0].0 else {
            panic!("{seen:?}")
        };
        let template = Template::new(&header, &seen[0].1);
        assert_eq!((template.record_len, template.record_min), (None, 9));
        assert_eq!(template.layout(), "29305.1/v,0.2/8");
    }

    #[test]
    fn scopes_of_both_versions() {
        let v9 = read(9, true, &[256, 4, 8, 1, 4, 34, 4, 35, 1]);
        assert_eq!(v9[0].1.iter().filter(|f| f.scope).count(), 1);
        let ipfix = read(10, true, &[256, 3, 1, 149, 4, 34, 4, 35, 1]);
        assert_eq!(ipfix[0].1.iter().filter(|f| f.scope).count(), 1);
        assert_eq!(ipfix[0].1.len(), 3);
    }

    #[test]
    fn hostile_templates_are_refused() {
        use TemplateEvent::{Refused, Withdrawn};
        assert_eq!(
            read(9, false, &[4096, 1, 8, 0])[0].0,
            Refused(4096, Reason::TemplateEmpty)
        );
        assert_eq!(
            read(9, false, &[300, 2, 8, 65000, 12, 65000])[0].0,
            Refused(300, Reason::TemplateRecord)
        );
        let mut many = vec![300, 2000];
        many.extend([8, 4].repeat(2000));
        assert_eq!(
            read(10, false, &many)[0].0,
            Refused(300, Reason::TemplateFields)
        );
        assert_eq!(read(9, false, &[259, 0])[0].0, Withdrawn(259));
        // a count that runs past the set
        assert!(read(10, false, &[300, 9, 8, 4]).is_empty());
    }
}
