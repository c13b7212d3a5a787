//! Numbers in the bytes: `byte_test`, `byte_jump`, `byte_extract`, `byte_math`, and `isdataat`, `base64_decode`.

use super::super::draft::Draft;
use super::super::number;
use super::super::rule::*;
use super::super::syntax::OptionText;
use super::{Keyword, Need, parts};

#[rustfmt::skip]
pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword { name: "byte_test", value: Need::Value, apply: byte_test },
    Keyword { name: "byte_jump", value: Need::Value, apply: byte_jump },
    Keyword { name: "byte_extract", value: Need::Value, apply: byte_extract },
    Keyword { name: "byte_math", value: Need::Value, apply: byte_math },
    Keyword { name: "isdataat", value: Need::Value, apply: isdataat },
    Keyword { name: "base64_decode", value: Need::Maybe, apply: base64_decode },
];

const OFFSET_MAX: i64 = 65_535;
const BINARY_BYTES_MAX: i64 = 8;
const TEXT_BYTES_MAX: i64 = 23;

/// A number within bounds, or a variable.
pub(super) fn value(draft: &Draft<'_>, text: &str, min: i64, max: i64) -> Result<Value, String> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return draft.variable(text);
    }
    let size = i64::try_from(number::one(digits, i64::MAX as u64)?).map_err(|e| e.to_string())?;
    let number = sign * size;
    if number < min || number > max {
        return Err(format!("{number} is not between {min} and {max}"));
    }
    Ok(Value::Fixed(number))
}

fn fixed(draft: &Draft<'_>, text: &str, min: i64, max: i64) -> Result<i64, String> {
    match value(draft, text, min, max)? {
        Value::Fixed(n) => Ok(n),
        Value::Variable(_) => Err(format!("`{text}` must be a number")),
    }
}

/// The words that all four share.
#[derive(Default)]
struct Words {
    relative: bool,
    encoding: Encoding,
    text: bool,
    endian: bool,
    bitmask: Option<u32>,
    multiplier: Option<u32>,
    align: Option<u8>,
    from: Option<JumpFrom>,
    post_offset: i64,
}

impl Words {
    /// Reads the words after the fixed places; `jump` and `extract` say which of the rarer ones are known.
    fn parse(
        draft: &Draft<'_>,
        words: &[String],
        jump: bool,
        extract: bool,
    ) -> Result<Self, String> {
        let mut out = Self::default();
        for word in words {
            let (name, rest) = match word.split_once(char::is_whitespace) {
                Some((name, rest)) => (name, rest.trim()),
                None => (word.as_str(), ""),
            };
            let order = |out: &mut Self, little: bool| {
                out.encoding.little = little;
                if std::mem::replace(&mut out.endian, true) {
                    return Err("has two byte orders".to_owned());
                }
                Ok(())
            };
            match (name, rest) {
                ("relative", "") => out.relative = true,
                ("big", "") | ("endian", "big") => order(&mut out, false)?,
                ("little", "") | ("endian", "little") => order(&mut out, true)?,
                ("dce", "") | ("endian", "dce") => out.encoding.dce = true,
                ("string", "") => out.text = true,
                ("hex" | "dec" | "oct", "") | ("string", "hex" | "dec" | "oct") => {
                    out.text |= name == "string";
                    let base = if rest.is_empty() { name } else { rest };
                    out.encoding.base = Some(base_of(base));
                }
                ("bitmask", _) => {
                    let digits = rest.trim_start_matches("0x");
                    let mask = u32::from_str_radix(digits, 16).ok().filter(|m| *m != 0);
                    out.bitmask = Some(
                        mask.ok_or_else(|| format!("`{rest}` is no mask: hexadecimal, not 0"))?,
                    );
                }
                ("multiplier", _) if jump || extract => {
                    let n = fixed(draft, rest, 1, OFFSET_MAX)?;
                    out.multiplier = u32::try_from(n).ok();
                }
                ("align", "") if jump => out.align = Some(4),
                ("align", "2" | "4") if extract => out.align = rest.parse().ok(),
                ("from_beginning" | "from_end", "") if jump && out.from.is_some() => {
                    return Err("counts from two places".to_owned());
                }
                ("from_beginning", "") if jump => out.from = Some(JumpFrom::Beginning),
                ("from_end", "") if jump => out.from = Some(JumpFrom::End),
                ("post_offset", _) if jump => {
                    out.post_offset = fixed(draft, rest, -OFFSET_MAX, OFFSET_MAX)?
                }
                _ => return Err(format!("`{word}` is not known here")),
            }
        }
        out.agree()
    }

    fn agree(mut self) -> Result<Self, String> {
        if self.encoding.base.is_some() && !self.text {
            return Err("hex, dec and oct go with `string`".to_owned());
        }
        if self.text {
            self.encoding.base.get_or_insert(Base::Decimal);
            if self.endian || self.encoding.dce {
                return Err("a number in text has no byte order".to_owned());
            }
        }
        if self.endian && self.encoding.dce {
            return Err("dce says the byte order".to_owned());
        }
        Ok(self)
    }

    /// The number of bytes against how they are written.
    fn fits(&self, bytes: Value, min: i64) -> Result<(), String> {
        let max = if self.text {
            TEXT_BYTES_MAX
        } else {
            BINARY_BYTES_MAX
        };
        match bytes {
            Value::Fixed(n) if n < min || n > max => {
                Err(format!("{n} bytes: {min} to {max} are possible here"))
            }
            _ => Ok(()),
        }
    }
}

fn base_of(text: &str) -> Base {
    match text {
        "hex" => Base::Hexadecimal,
        "oct" => Base::Octal,
        _ => Base::Decimal,
    }
}

fn byte_test(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let parts = parts(option);
    let [bytes, compare, against, offset, words @ ..] = &parts[..] else {
        return Err("is `bytes, operator, value, offset`".to_owned());
    };
    let words = Words::parse(draft, words, false, false)?;
    let bytes = value(draft, bytes, 0, TEXT_BYTES_MAX)?;
    // no bytes of text: as many digits as there are
    words.fits(bytes, i64::from(!words.text))?;
    let (negated, sign) = match compare.strip_prefix('!') {
        Some("=") => (true, "="),
        Some("") => (true, "="),
        Some(rest) => (true, rest.trim()),
        None => (false, compare.as_str()),
    };
    let step = ByteTest {
        bytes,
        negated,
        compare: comparison(sign)?,
        value: value(draft, against, i64::from(i32::MIN), i64::MAX)?,
        offset: value(draft, offset, -OFFSET_MAX, OFFSET_MAX)?,
        relative: words.relative,
        encoding: words.encoding,
        bitmask: words.bitmask,
    };
    draft.push_counting(step.relative, Step::ByteTest(step))
}

fn comparison(sign: &str) -> Result<Compare, String> {
    Ok(match sign {
        "<" => Compare::Less,
        ">" => Compare::Greater,
        "=" => Compare::Equal,
        "<=" => Compare::AtMost,
        ">=" => Compare::AtLeast,
        "&" => Compare::And,
        "^" => Compare::Xor,
        _ => {
            return Err(format!(
                "`{sign}` is no operator: < > = <= >= & ^, with ! before"
            ));
        }
    })
}

fn byte_jump(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let parts = parts(option);
    let [bytes, offset, words @ ..] = &parts[..] else {
        return Err("is `bytes, offset`".to_owned());
    };
    let words = Words::parse(draft, words, true, false)?;
    let bytes = value(draft, bytes, 0, TEXT_BYTES_MAX)?;
    words.fits(bytes, 0)?;
    let step = ByteJump {
        bytes,
        offset: value(draft, offset, -OFFSET_MAX, OFFSET_MAX)?,
        relative: words.relative,
        encoding: words.encoding,
        multiplier: words.multiplier.unwrap_or(1),
        align: words.align.is_some(),
        from: words.from.unwrap_or(JumpFrom::Here),
        post_offset: words.post_offset,
        bitmask: words.bitmask,
    };
    draft.push_counting(step.relative, Step::ByteJump(step))
}

fn byte_extract(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let parts = parts(option);
    let [bytes, offset, name, words @ ..] = &parts[..] else {
        return Err("is `bytes, offset, name`".to_owned());
    };
    let words = Words::parse(draft, words, false, true)?;
    let bytes = fixed(draft, bytes, 1, TEXT_BYTES_MAX)?;
    words.fits(Value::Fixed(bytes), 1)?;
    let step = ByteExtract {
        bytes: u8::try_from(bytes).map_err(|e| e.to_string())?,
        offset: fixed(draft, offset, -OFFSET_MAX, OFFSET_MAX)?,
        variable: draft.new_variable(name)?,
        relative: words.relative,
        encoding: words.encoding,
        multiplier: words.multiplier.unwrap_or(1),
        align: words.align,
        bitmask: words.bitmask,
    };
    draft.push_counting(step.relative, Step::ByteExtract(step))
}

fn byte_math(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let (mut named, mut words) = (std::collections::BTreeMap::new(), vec![]);
    for part in parts(option) {
        match part.split_once(char::is_whitespace) {
            Some((k @ ("bytes" | "offset" | "oper" | "rvalue" | "result"), v)) => {
                if named.insert(k.to_owned(), v.trim().to_owned()).is_some() {
                    return Err(format!("has `{k}` twice"));
                }
            }
            _ => words.push(part),
        }
    }
    let get = |name: &str| {
        named
            .get(name)
            .map(String::as_str)
            .ok_or_else(|| format!("lacks `{name}`"))
    };
    let words = Words::parse(draft, &words, false, false)?;
    let bytes = value(draft, get("bytes")?, 1, TEXT_BYTES_MAX)?;
    words.fits(bytes, 1)?;
    let operator = match get("oper")? {
        "+" => Operator::Add,
        "-" => Operator::Subtract,
        "*" => Operator::Multiply,
        "/" => Operator::Divide,
        "<<" => Operator::Left,
        ">>" => Operator::Right,
        other => return Err(format!("`{other}` is no operator: + - * / << >>")),
    };
    let by = value(draft, get("rvalue")?, 0, i64::from(u32::MAX))?;
    let step = ByteMath {
        bytes,
        offset: fixed(draft, get("offset")?, -OFFSET_MAX, OFFSET_MAX)?,
        operator,
        value: by,
        variable: draft.new_variable(get("result")?)?,
        relative: words.relative,
        encoding: words.encoding,
        bitmask: words.bitmask,
    };
    draft.push_counting(step.relative, Step::ByteMath(step))
}

fn isdataat(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let parts = parts(option);
    let (negated, at) = match parts[0].strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, parts[0].as_str()),
    };
    let mut relative = false;
    for word in &parts[1..] {
        match word.as_str() {
            "relative" => relative = true,
            "rawbytes" if relative => {}
            _ => return Err(format!("`{word}` is not known here")),
        }
    }
    let at = value(draft, at, 0, OFFSET_MAX)?;
    if relative && negated && at == Value::Fixed(1) {
        // Suricata takes it for `endswith`, of a negated content, too
        if let Some(content) = draft.recent_content() {
            content.endswith = true;
            return Ok(());
        }
    }
    let step = IsDataAt {
        at,
        negated,
        relative,
    };
    draft.push_counting(relative, Step::IsDataAt(step))
}

fn base64_decode(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let mut step = Base64Decode::default();
    for part in parts(option).iter().filter(|p| !p.is_empty()) {
        let number = |text: &str, min| fixed(draft, text, min, OFFSET_MAX);
        match part.split_once(char::is_whitespace) {
            Some(("bytes", n)) => step.bytes = u32::try_from(number(n, 1)?).ok(),
            Some(("offset", n)) => step.offset = u32::try_from(number(n, 0)?).unwrap_or(0),
            None if part == "relative" => step.relative = true,
            _ => {
                return Err(format!(
                    "`{part}` is not known here: bytes N, offset N, relative"
                ));
            }
        }
    }
    draft.push_counting(step.relative, Step::Base64Decode(step))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{refuses, takes};

    #[test]
    fn byte_test_and_its_near_misses() {
        takes(
            "tcp",
            &[
                "byte_test:4,>,1000,0;",
                "byte_test:1,!&,0x80,-2,relative;",
                "byte_test:2,!=,5,0,little,bitmask 0xff;",
                "byte_test:10,<=,5,0,string,dec;",
                "byte_test:0,>,5,0,string,dec;",
                "byte_extract:1,0,a; byte_test:a,=,a,a;",
                "byte_test:8,=,0xffffffff,0,dce;",
            ],
        );
        refuses(
            "tcp",
            &[
                "byte_test:4,>,1000;",
                "byte_test:9,>,1,0;",
                "byte_test:0,>,1,0;",
                "byte_test:24,>,1,0,string,dec;",
                "byte_test:1,~,1,0;",
                "byte_test:1,>,n,0;",
                "byte_test:1,>,1,0,hex;",
                "byte_test:1,>,1,0,little,big;",
                "byte_test:1,>,1,0,string,dec,little;",
                "byte_test:1,>,1,0,align;",
                "byte_test:1,>,1,0,bitmask 0;",
            ],
        );
    }

    #[test]
    fn byte_jump_and_its_near_misses() {
        takes(
            "tcp",
            &[
                "byte_jump:4,4,relative,align;",
                "byte_jump:0,0,relative,post_offset -10;",
                "byte_jump:2,0,relative,string,from_end,post_offset -26;",
                "byte_jump:4,0,little,multiplier 2,from_beginning;",
            ],
        );
        refuses(
            "tcp",
            &[
                "byte_jump:4;",
                "byte_jump:9,0;",
                "byte_jump:4,0,multiplier 0;",
                "byte_jump:4,0,sideways;",
                "byte_jump:n,0;",
            ],
        );
    }

    #[test]
    fn extract_and_math_and_their_near_misses() {
        takes(
            "tcp",
            &[
                "byte_extract:4,0,len,relative,little,multiplier 2,align 4;",
                "byte_extract:3,1,n,string,hex;",
                "byte_math:bytes 4, offset 0, oper +, rvalue 8, result r, relative, endian little; isdataat:!r,relative;",
                "byte_math:bytes 2, offset -2, oper <<, rvalue 1, result r, string hex;",
            ],
        );
        refuses(
            "tcp",
            &[
                "byte_extract:4,0;",
                "byte_extract:4,0,4;",
                "byte_extract:4,0,n,align 3;",
                "byte_jump:1,0,from_beginning,from_end;",
                "byte_math:bytes 4, offset 0, oper %, rvalue 1, result r;",
                "byte_math:bytes 4, oper +, rvalue 1, result r;",
                "byte_math:bytes 4, bytes 4, offset 0, oper +, rvalue 1, result r;",
            ],
        );
    }

    #[test]
    fn isdataat_and_base64() {
        takes(
            "tcp",
            &[
                "isdataat:1;",
                "content:\"a\"; isdataat:!1,relative;",
                "base64_decode:bytes 4,offset 1,relative; base64_data; content:\"a\";",
                "base64_decode; base64_data; content:\"a\";",
            ],
        );
        refuses(
            "tcp",
            &[
                "isdataat:-1;",
                "isdataat:x;",
                "isdataat:1,later;",
                "base64_decode:bytes 0;",
                "base64_decode:size 3;",
                "base64_data; content:\"a\";",
            ],
        );
    }
}
