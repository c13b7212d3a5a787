//! `asn1`: BER and DER that overflow those who read them (X.690 sections 8.1, 8.5, 8.6).

use super::super::asn1::Asn1;
use super::super::draft::Draft;
use super::super::number;
use super::super::rule::Step;
use super::super::syntax::OptionText;
use super::{Keyword, Need};

#[rustfmt::skip]
pub(super) const KEYWORDS: &[Keyword] = &[Keyword { name: "asn1", value: Need::Value, apply: asn1 }];

fn asn1(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let text = option.text().into_owned();
    let mut step = Asn1::default();
    let words = text.split([',', ' ', '\t']).filter(|w| !w.is_empty());
    let mut words = words.map(str::trim);
    while let Some(word) = words.next() {
        let mut size = |least: i64| -> Result<i64, String> {
            let next = words
                .next()
                .ok_or_else(|| format!("`{word}` needs a number"))?;
            let (sign, digits) = match next.strip_prefix('-') {
                Some(digits) => (-1, digits),
                None => (1, next),
            };
            let n = sign * number::one(digits, u32::MAX.into())? as i64;
            match n >= least {
                true => Ok(n),
                false => Err(format!("`{next}` is too small")),
            }
        };
        match word {
            "bitstring_overflow" => step.bits = true,
            "double_overflow" => step.reals = true,
            "oversize_length" => step.longest = Some(size(0)? as u64),
            "absolute_offset" => (step.offset, step.relative) = (size(0)?, false),
            "relative_offset" => (step.offset, step.relative) = (size(-65_535)?, true),
            _ => return Err(format!("`{word}` is not known here")),
        }
    }
    if !step.bits && !step.reals && step.longest.is_none() {
        return Err("asks for nothing".to_owned());
    }
    draft.push(Step::Asn1(step))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{refuses, rule, takes};
    use super::*;

    fn holds(options: &str, bytes: &[u8]) -> bool {
        let rule = rule("udp", &format!("asn1:{options};")).expect(options);
        match &rule.groups[0].steps[0] {
            Step::Asn1(step) => step.holds(bytes, 0),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_and_their_near_misses() {
        takes(
            "udp",
            &[
                "asn1:bitstring_overflow;",
                "asn1:double_overflow, bitstring_overflow, oversize_length 2048;",
                "content:\"a\"; asn1:oversize_length 1024, relative_offset 54;",
                "content:\"a\"; asn1:oversize_length 1024, relative_offset -5;",
            ],
        );
        refuses(
            "udp",
            &[
                "asn1:relative_offset 1;",
                "asn1:oversize_length;",
                "asn1:oversize_length -1;",
                "asn1:nothing;",
                "asn1;",
            ],
        );
    }

    #[test]
    fn values_that_overflow() {
        let nested = [&b"\x30\x82\x01\x04\x04\x82\x01\x00"[..], &[0; 256]].concat();
        assert!(holds("oversize_length 259", &nested) && !holds("oversize_length 260", &nested));
        assert!(holds("bitstring_overflow", b"\x30\x03\x03\x01\x20"));
        assert!(!holds("bitstring_overflow", b"\x30\x04\x03\x02\x07\x80"));
        let real = [&[9, 0x82, 1, 45, 3][..], &[b'1'; 300]].concat();
        assert!(holds("double_overflow", &real));
        assert!(!holds("double_overflow", b"\x09\x03\x031.5"));
        for n in 0..nested.len() {
            assert!(!holds("oversize_length 1", &nested[..n]));
        }
        assert!(!holds("oversize_length 1", &[0x3f; 40]));
    }
}
