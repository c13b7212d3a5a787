//! The keyword `modbus`: what a request asks for, as Suricata 7 compares it (its user guide, "Modbus Keyword"; Modbus Application Protocol 1.1b3 section 6).

use super::number::Number;

/// What is asked of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Modbus {
    unit: Option<Number>,
    function: Option<u8>,
    subfunction: Option<u16>,
    /// Negated, and one of [`CATEGORIES`].
    category: Option<(bool, &'static str)>,
    access: Option<Access>,
}

/// Which tables are read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Access {
    writes: bool,
    table: Option<&'static str>,
    address: Option<Number>,
    value: Option<Number>,
}

impl Modbus {
    /// Reads the value of the keyword.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut made = Modbus::default();
        let mut parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
        let mut is_empty = true;
        while let Some(part) = parts.next() {
            is_empty = false;
            let (key, value) = part
                .split_once(char::is_whitespace)
                .map_or((part, ""), |(k, v)| (k, v.trim()));
            match key {
                "unit" => made.unit = Some(Number::parse(value, 255)?),
                "function" => made.function(value)?,
                "subfunction" if made.function.is_some() => {
                    made.subfunction = Some(number(value)?);
                }
                "access" => {
                    made.access(value)?;
                    for part in parts.by_ref() {
                        made.of_access(part)?;
                    }
                }
                other => {
                    return Err(format!(
                        "`{other}` is not known here: unit, function, subfunction, access"
                    ));
                }
            }
        }
        match is_empty {
            true => Err("asks for nothing".to_owned()),
            false => Ok(made),
        }
    }

    fn function(&mut self, value: &str) -> Result<(), String> {
        if value.starts_with(|c: char| c.is_ascii_digit()) {
            let function = number(value)?;
            self.function = Some(u8::try_from(function).map_err(|e| e.to_string())?);
            return Ok(());
        }
        let (negated, word) = match value.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, value),
        };
        let known = CATEGORIES.iter().find(|c| **c == word);
        let known =
            known.ok_or_else(|| format!("`{word}` is none of {}", CATEGORIES.join(", ")))?;
        self.category = Some((negated, known));
        Ok(())
    }

    fn access(&mut self, value: &str) -> Result<(), String> {
        let (kind, table) = value
            .split_once(char::is_whitespace)
            .map_or((value, ""), |(k, t)| (k, t.trim()));
        let writes = match kind {
            "read" => false,
            "write" => true,
            other => return Err(format!("`{other}` is neither read nor write")),
        };
        let known = TABLES.iter().find(|t| **t == table).copied();
        if !table.is_empty() && known.is_none() {
            return Err(format!("`{table}` is none of {}", TABLES.join(", ")));
        }
        if writes && matches!(known, Some("discretes" | "input")) {
            return Err(format!("`{table}` cannot be written"));
        }
        self.access = Some(Access {
            writes,
            table: known,
            address: None,
            value: None,
        });
        Ok(())
    }

    fn of_access(&mut self, part: &str) -> Result<(), String> {
        let access = self.access.as_mut().ok_or("asks for no access")?;
        let (key, value) = part
            .split_once(char::is_whitespace)
            .ok_or("is a word and a number")?;
        let number = Number::parse(value, u16::MAX.into())?;
        match key {
            "address" => access.address = Some(number),
            "value" if access.writes && matches!(access.address, Some(Number::Equal(_))) => {
                access.value = Some(number);
            }
            "value" => return Err("a value is asked of what is written to one address".to_owned()),
            other => return Err(format!("`{other}` is not known here: address, value")),
        }
        Ok(())
    }

    /// Whether a request, with its header, is as asked.
    pub(super) fn holds(&self, message: &[u8]) -> bool {
        let (Some(&unit), Some(&function)) = (message.get(6), message.get(7)) else {
            return false;
        };
        let pdu = &message[8..];
        let word = |at: usize| {
            let b = pdu.get(at..at + 2)?;
            Some(u16::from_be_bytes([b[0], b[1]]))
        };
        self.unit.is_none_or(|n| n.holds(unit.into()))
            && self.function.is_none_or(|f| f == function)
            && self.subfunction.is_none_or(|s| word(0) == Some(s))
            && self
                .category
                .is_none_or(|(negated, c)| is_of(c, function) != negated)
            && self.access.as_ref().is_none_or(|a| a.holds(function, pdu))
    }
}

impl Access {
    fn holds(&self, function: u8, pdu: &[u8]) -> bool {
        let accesses = accesses(function, pdu);
        accesses.iter().any(|(writes, table, from, count, values)| {
            let of_table = *writes == self.writes && self.table.is_none_or(|t| t == *table);
            // tables are numbered from 1, messages from 0
            let first = u64::from(*from) + 1;
            let end = first + u64::from(*count);
            let at = |n: u64| self.address.is_none_or(|a| a.holds(n));
            of_table
                && match self.value {
                    None => self.address.is_none_or(|a| a.meets(first, end)),
                    Some(value) => (first..end)
                        .zip(values)
                        .any(|(n, v)| at(n) && value.holds((*v).into())),
                }
        })
    }
}

type One = (bool, &'static str, u16, u16, Vec<u16>);

/// What a request reads and writes: whether it writes, the table, the first address, how many, the values.
fn accesses(function: u8, pdu: &[u8]) -> Vec<One> {
    let word = |at: usize| {
        let b = pdu.get(at..at + 2);
        b.map_or(0, |b| u16::from_be_bytes([b[0], b[1]]))
    };
    let registers = |at: usize| {
        let bytes = pdu.get(at..).unwrap_or_default();
        let words = bytes.chunks_exact(2);
        words.map(|b| u16::from_be_bytes([b[0], b[1]])).collect()
    };
    let bits = |at: usize, count: u16| {
        let bit = |n: u16| {
            let byte = pdu.get(at + usize::from(n / 8)).copied().unwrap_or(0);
            u16::from(byte >> (n % 8) & 1)
        };
        (0..count.min(BITS_MAX)).map(bit).collect()
    };
    match function {
        1 => vec![(false, "coils", word(0), word(2), vec![])],
        2 => vec![(false, "discretes", word(0), word(2), vec![])],
        3 => vec![(false, "holding", word(0), word(2), vec![])],
        4 => vec![(false, "input", word(0), word(2), vec![])],
        5 => vec![(true, "coils", word(0), 1, vec![u16::from(word(2) != 0)])],
        6 | 22 => vec![(true, "holding", word(0), 1, vec![word(2)])],
        15 => vec![(true, "coils", word(0), word(2), bits(5, word(2)))],
        16 => vec![(true, "holding", word(0), word(2), registers(5))],
        23 => vec![
            (false, "holding", word(0), word(2), vec![]),
            (true, "holding", word(4), word(6), registers(9)),
        ],
        _ => vec![],
    }
}

/// Whether a function is of a category: public ones are those of the specification, user-defined those between, reserved those of old products.
fn is_of(category: &str, function: u8) -> bool {
    let public = matches!(function, 1..=8 | 11 | 12 | 15..=17 | 20..=24 | 43);
    let reserved = matches!(function, 9 | 10 | 13 | 14 | 41 | 42 | 90 | 91 | 125..=127);
    let user = matches!(function, 65..=72 | 100..=110);
    match category {
        "assigned" => public,
        "public" => !reserved && !user,
        "unassigned" => !public && !reserved && !user,
        "user" => user,
        "reserved" => reserved,
        _ => true,
    }
}

fn number(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is no number up to {}", u16::MAX))
}

const CATEGORIES: &[&str] = &[
    "assigned",
    "unassigned",
    "public",
    "user",
    "reserved",
    "all",
];
const TABLES: &[&str] = &["discretes", "coils", "input", "holding"];
/// Coils of one request (section 6.11).
const BITS_MAX: u16 = 0x7b0;

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str, unit: u8, pdu: &[u8]) -> bool {
        let message = [&[0, 1, 0, 0, 0, pdu.len() as u8 + 1, unit], pdu].concat();
        Modbus::parse(text).expect(text).holds(&message)
    }

    #[test]
    fn requests_are_as_asked() {
        let write = [6, 0, 100, 0, 5];
        assert!(holds("function 6", 1, &write) && !holds("function 3", 1, &write));
        assert!(holds("unit 1, function 6", 1, &write) && !holds("unit 2", 1, &write));
        assert!(holds("unit 1<>5, function !user", 2, &write));
        assert!(holds("access write", 1, &write) && !holds("access read", 1, &write));
        let exact = "access write holding, address 101, value 5";
        assert!(holds(exact, 1, &write));
        assert!(!holds(
            "access write holding, address 101, value <5",
            1,
            &write
        ));
        assert!(!holds("access write coils, address 101", 1, &write));
        let read = [3, 0, 10, 0, 5];
        assert!(holds("access read holding, address 15", 1, &read));
        assert!(!holds("access read holding, address 16", 1, &read));
        assert!(!holds("access read holding, address 10", 1, &read));
        assert!(holds("access read holding, address >14", 1, &read));
        let coils = [15, 0, 3, 0, 2, 1, 0b10];
        assert!(holds("access write coils, address 5, value 1", 1, &coils));
        assert!(!holds("access write coils, address 4, value 1", 1, &coils));
        assert!(holds("function 8, subfunction 4", 1, &[8, 0, 4, 0, 0]));
        assert!(holds("function reserved", 1, &[90]));
        assert!(!holds("access write", 1, &[]) && !holds("function 6", 1, &[6][..0]));
    }

    #[test]
    fn what_cannot_be_asked() {
        for text in [
            "",
            "function",
            "function many",
            "function 300",
            "access",
            "access write input",
            "access read holding, value 5",
            "unit 256",
            "subfunction 4",
            "colour red",
            "access write holding, value 5",
            "access write holding, address >5, value 5",
        ] {
            assert!(Modbus::parse(text).is_err(), "{text}");
        }
    }
}
