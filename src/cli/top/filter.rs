//! The language of `--where`: comparisons of fields, `and`, `or`, `not`, brackets. It becomes SQL whose every value is a
//! bound parameter.

use super::field::{self, Field, Kind, Scope};
use crate::model::Addr;
use std::net::IpAddr;

/// A condition on rows.
#[derive(Clone, Debug)]
pub struct Filter(Expression);

/// What was not understood, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From 1, in characters.
    column: usize,
    message: String,
    text: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Fault {
            column,
            message,
            text,
        } = self;
        let mark = " ".repeat(column - 1) + "^";
        write!(f, "column {column}: {message}\n  {text}\n  {mark}")
    }
}

impl std::error::Error for Fault {}

/// SQL with the values of its parameters, in order of their names: `p0`, `p1`, ...
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// A condition.
    pub sql: String,
    /// Values of the parameters.
    pub values: Vec<String>,
}

impl Bound {
    /// The place of a value of this ClickHouse type.
    pub fn bind(&mut self, value: impl ToString, kind: &str) -> String {
        self.values.push(value.to_string());
        format!("{{p{}:{kind}}}", self.values.len() - 1)
    }
}

#[derive(Clone, Debug)]
enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Not(Box<Expression>),
    Is(Comparison),
}

#[derive(Clone, Debug)]
struct Comparison {
    field: &'static Field,
    operator: Operator,
    values: Vec<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Matches,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Text(String),
    Number(u64),
    /// First and last.
    Range(Addr, Addr),
}

impl Filter {
    /// Reads a condition.
    ///
    /// # Errors
    /// What is wrong, with its column.
    pub fn parse(text: &str) -> Result<Filter, Fault> {
        let mut parser = Parser {
            text: text.chars().collect(),
            at: 0,
            depth: 0,
        };
        if parser.text.len() > TEXT_MAX {
            return Err(parser.fault(0, format!("longer than {TEXT_MAX} characters")));
        }
        let expression = parser.any()?;
        parser.space();
        match parser.at < parser.text.len() {
            true => Err(parser.fault(parser.at, "expected `and`, `or` or the end")),
            false => Ok(Filter(expression)),
        }
    }

    /// Whether all fields are columns of this kind of rows.
    pub fn fits(&self, scope: Scope) -> bool {
        self.0.fields().iter().all(|f| f.columns(scope).is_some())
    }

    /// Whether it says which sides of links are meant: it names a direction, or only what passed certain interfaces can fit.
    pub fn names_sides(&self) -> bool {
        self.0.fields().iter().any(|f| f.name == "direction") || self.0.is_of_interfaces()
    }

    /// The names of the fields that rows of this kind lack.
    pub fn missing(&self, scope: Scope) -> Vec<&'static str> {
        let fields = self.0.fields();
        let missing = fields.iter().filter(|f| f.columns(scope).is_none());
        missing.map(|f| f.name).collect()
    }

    /// The condition over rows of this kind, which must have all fields; parameters are added to `out`.
    pub fn write(&self, scope: Scope, out: &mut Bound) -> String {
        self.0.write(scope, out)
    }
}

impl Expression {
    fn fields(&self) -> Vec<&'static Field> {
        match self {
            Expression::All(parts) | Expression::Any(parts) => {
                parts.iter().flat_map(Expression::fields).collect()
            }
            Expression::Not(inner) => inner.fields(),
            Expression::Is(c) => vec![c.field],
        }
    }

    fn is_of_interfaces(&self) -> bool {
        match self {
            Expression::All(parts) => parts.iter().any(Expression::is_of_interfaces),
            Expression::Any(parts) => parts.iter().all(Expression::is_of_interfaces),
            // what did not pass one interface passed two others
            Expression::Not(_) => false,
            Expression::Is(c) => ["if", "interface", "role"].contains(&c.field.name),
        }
    }

    fn write(&self, scope: Scope, out: &mut Bound) -> String {
        let mut joined = |parts: &[Expression], word: &str| {
            let parts: Vec<String> = parts.iter().map(|p| p.write(scope, out)).collect();
            format!("({})", parts.join(word))
        };
        match self {
            Expression::All(parts) => joined(parts, " AND "),
            Expression::Any(parts) => joined(parts, " OR "),
            Expression::Not(inner) => format!("NOT {}", inner.write(scope, out)),
            Expression::Is(c) => c.write(scope, out),
        }
    }
}

impl Comparison {
    fn write(&self, scope: Scope, out: &mut Bound) -> String {
        let columns = self.field.columns(scope).unwrap_or(&["NULL"]);
        let of = |column: &&str, out: &mut Bound| match self.field.lookup {
            Some(lookup) => {
                let inner = self.one(lookup.column, out);
                format!("{column} IN (SELECT {} WHERE {inner})", lookup.from)
            }
            None => self.one(column, out),
        };
        let all: Vec<String> = columns.iter().map(|c| of(c, out)).collect();
        format!("({})", all.join(" OR "))
    }

    /// The comparison of one column with any of the values.
    fn one(&self, column: &str, out: &mut Bound) -> String {
        let kind = self.field.kind.sql();
        let one = |value: &Value, out: &mut Bound| match value {
            Value::Range(first, last) if first == last => {
                format!("{column} = {}", out.bind(v6(first), kind))
            }
            Value::Range(first, last) => {
                let (first, last) = (out.bind(v6(first), kind), out.bind(v6(last), kind));
                format!("({column} >= {first} AND {column} <= {last})")
            }
            Value::Number(n) => format!("{column} {} {}", self.operator.sql(), out.bind(n, kind)),
            Value::Text(t) if self.operator == Operator::Matches => {
                format!("match({column}, {})", out.bind(t, kind))
            }
            Value::Text(t) => format!("{column} = {}", out.bind(t, kind)),
        };
        let all: Vec<String> = self.values.iter().map(|v| one(v, out)).collect();
        match all.len() {
            1 => all[0].clone(),
            _ => format!("({})", all.join(" OR ")),
        }
    }
}

impl Operator {
    fn sql(self) -> &'static str {
        match self {
            Operator::Equal | Operator::Matches => "=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
        }
    }
}

/// An address as ClickHouse's IPv6 reads it.
fn v6(address: &Addr) -> std::net::Ipv6Addr {
    std::net::Ipv6Addr::from(address.0)
}

struct Parser {
    text: Vec<char>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn fault(&self, at: usize, message: impl Into<String>) -> Fault {
        Fault {
            column: at + 1,
            message: message.into(),
            text: self.text.iter().collect(),
        }
    }

    fn space(&mut self) {
        while self.text.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
    }

    /// Takes a keyword or sign, if it stands here.
    fn take(&mut self, what: &str) -> bool {
        self.space();
        let rest = &self.text[self.at..];
        let len = what.chars().count();
        let same = rest.len() >= len
            && (rest.iter().zip(what.chars())).all(|(a, b)| a.to_ascii_lowercase() == b);
        let word = what.starts_with(|c: char| c.is_ascii_alphabetic());
        let ends = !word || rest.get(len).is_none_or(|c| !is_word(*c));
        if same && ends {
            self.at += len;
        }
        same && ends
    }

    fn any(&mut self) -> Result<Expression, Fault> {
        let mut parts = vec![self.all()?];
        while self.take("or") {
            parts.push(self.all()?);
        }
        Ok(single(parts, Expression::Any))
    }

    fn all(&mut self) -> Result<Expression, Fault> {
        let mut parts = vec![self.not()?];
        while self.take("and") {
            parts.push(self.not()?);
        }
        Ok(single(parts, Expression::All))
    }

    fn not(&mut self) -> Result<Expression, Fault> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.fault(self.at, format!("nested deeper than {DEPTH_MAX}")));
        }
        let found = if self.take("not") {
            Expression::Not(Box::new(self.not()?))
        } else if self.take("(") {
            let open = self.at - 1;
            let inner = self.any()?;
            if !self.take(")") {
                return Err(self.fault(open, "this bracket is not closed"));
            }
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(found)
    }

    fn comparison(&mut self) -> Result<Expression, Fault> {
        self.space();
        let at = self.at;
        let name = self.word();
        if name.is_empty() {
            return Err(self.fault(at, "expected a field: app, class, dscp, exporter, src, ..."));
        }
        let field = field::named(&name).map_err(|message| self.fault(at, message))?;
        self.space();
        let at = self.at;
        let (negative, operator, several) = self.operator(at)?;
        if !field.kind.takes_order() && operator.sql() != "=" {
            let message = format!("`{}` has no order: use =, !=, in or ~", field.name);
            return Err(self.fault(at, message));
        }
        if field.kind != Kind::Text && operator == Operator::Matches {
            return Err(self.fault(at, format!("`~` is for texts, `{}` is none", field.name)));
        }
        let (mut values, place) = (vec![], self.at);
        if several && self.take("(") {
            loop {
                values.push(self.value(field)?);
                if values.len() > VALUES_MAX {
                    return Err(self.fault(at, format!("more than {VALUES_MAX} values")));
                }
                if self.take(")") {
                    break;
                }
                if !self.take(",") {
                    return Err(self.fault(self.at, "expected `,` or `)`"));
                }
            }
        } else {
            values.push(self.value(field)?);
        }
        if operator == Operator::Matches {
            self.pattern(place, &values)?;
        }
        let is = Expression::Is(Comparison {
            field,
            operator,
            values,
        });
        Ok(match negative {
            true => Expression::Not(Box::new(is)),
            false => is,
        })
    }

    /// Refuses what is no regular expression, with its place behind `at`.
    fn pattern(&self, at: usize, values: &[Value]) -> Result<(), Fault> {
        let [Value::Text(pattern)] = values else {
            return Ok(());
        };
        let Err(error) = regex_syntax::parse(pattern) else {
            return Ok(());
        };
        let (span, why) = match &error {
            regex_syntax::Error::Parse(e) => (*e.span(), e.kind().to_string()),
            regex_syntax::Error::Translate(e) => (*e.span(), e.kind().to_string()),
            _ => return Err(self.fault(at, "no regular expression")),
        };
        let blank = |c: &&char| c.is_whitespace();
        let begin = at + self.text[at..].iter().take_while(blank).count();
        let quote = self.text.get(begin).is_some_and(|c| "'\"".contains(*c));
        let inside = pattern[..span.start.offset].chars().count();
        let place = begin + usize::from(quote) + inside;
        Err(self.fault(place, format!("no regular expression: {why}")))
    }

    /// Whether it negates, what it compares, and whether it takes a list.
    fn operator(&mut self, at: usize) -> Result<(bool, Operator, bool), Fault> {
        let signs = [
            ("!=", true, Operator::Equal),
            ("!~", true, Operator::Matches),
            ("<=", false, Operator::LessOrEqual),
            (">=", false, Operator::GreaterOrEqual),
            ("<", false, Operator::Less),
            (">", false, Operator::Greater),
            ("==", false, Operator::Equal),
            ("=", false, Operator::Equal),
            ("~", false, Operator::Matches),
        ];
        for (sign, negative, operator) in signs {
            if self.take(sign) {
                return Ok((negative, operator, false));
            }
        }
        let negative = self.take("not");
        if self.take("in") {
            return Ok((negative, Operator::Equal, true));
        }
        Err(self.fault(at, "expected one of =, !=, <, <=, >, >=, ~, !~, in, not in"))
    }

    fn word(&mut self) -> String {
        let from = self.at;
        while self.text.get(self.at).is_some_and(|c| is_word(*c)) {
            self.at += 1;
        }
        self.text[from..self.at].iter().collect()
    }

    fn value(&mut self, field: &'static Field) -> Result<Value, Fault> {
        self.space();
        let at = self.at;
        let text = match self.text.get(at) {
            Some(&quote @ ('\'' | '"')) => {
                let rest = &self.text[at + 1..];
                let end = rest.iter().position(|c| *c == quote);
                let end = end.ok_or_else(|| self.fault(at, "this quote is not closed"))?;
                self.at = at + end + 2;
                rest[..end].iter().collect()
            }
            _ => self.word(),
        };
        if text.is_empty() && self.at == at {
            return Err(self.fault(at, format!("expected {}", field.kind.expects())));
        }
        if text.chars().any(char::is_control) {
            return Err(self.fault(at, "a value must not have control characters"));
        }
        let value = match field.kind {
            Kind::Text => Some(Value::Text(text.clone())),
            Kind::Number { max, names } => {
                let named = names.iter().find(|n| n.0.eq_ignore_ascii_case(&text));
                let number = named.map(|n| n.1).or_else(|| text.parse().ok());
                number.filter(|n| *n <= max).map(Value::Number)
            }
            Kind::Address => range(&text),
        };
        let fault = || format!("`{text}` is not {}", field.kind.expects());
        value.ok_or_else(|| self.fault(at, fault()))
    }
}

fn single(mut parts: Vec<Expression>, all: fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.len() {
        1 => parts.swap_remove(0),
        _ => all(parts),
    }
}

/// What a value without quotes may have.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "_-.:/*+@%".contains(c)
}

/// First and last address of an address or prefix.
fn range(text: &str) -> Option<Value> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
        None => (text, None),
    };
    let ip: IpAddr = address.parse().ok()?;
    let bits = if ip.is_ipv4() { 32 } else { 128 };
    let length = length.unwrap_or(bits);
    if length > bits {
        return None;
    }
    let host = u128::MAX.checked_shr(128 - bits + length).unwrap_or(0);
    let n = u128::from_be_bytes(Addr::from(ip).0);
    let (first, last) = ((n & !host).to_be_bytes(), (n | host).to_be_bytes());
    Some(Value::Range(Addr(first), Addr(last)))
}

/// Most characters of a condition.
const TEXT_MAX: usize = 4_096;
/// Most brackets and negations around each other.
const DEPTH_MAX: usize = 32;
/// Most values of an `in`.
const VALUES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sql(text: &str, scope: Scope) -> (String, Vec<String>) {
        let mut out = Bound::default();
        let sql = Filter::parse(text).expect("read").write(scope, &mut out);
        (sql, out.values)
    }

    fn fault(text: &str) -> (usize, String) {
        let f = Filter::parse(text).expect_err("a fault");
        (f.column, f.message)
    }

    #[test]
    fn values_are_bound_and_never_part_of_the_text() {
        let (text, values) = sql(
            "app = ms-teams and dscp = ef and src in 10.0.0.0/8",
            Scope::Flows,
        );
        assert_eq!(
            text,
            "((f.app = {p0:String}) AND (f.dscp = {p1:UInt8}) AND ((f.src_addr >= {p2:IPv6} AND f.src_addr <= {p3:IPv6})))"
        );
        assert_eq!(
            values,
            ["ms-teams", "46", "::ffff:10.0.0.0", "::ffff:10.255.255.255"]
        );
        let (text, values) = sql(
            "app = \"x' OR 1 = 1 --\" or not app ~ 'ms-.*'",
            Scope::Usage,
        );
        assert_eq!(
            text,
            "((u.app = {p0:String}) OR NOT (match(u.app, {p1:String})))"
        );
        assert_eq!(values, ["x' OR 1 = 1 --", "ms-.*"]);
    }

    #[test]
    fn what_has_two_sides_is_either() {
        let (text, values) = sql("host = 2001:db8::1 and port not in (53, 443)", Scope::Flows);
        assert_eq!(
            text,
            "((f.src_addr = {p0:IPv6} OR f.dst_addr = {p1:IPv6}) AND \
             NOT ((f.src_port = {p2:UInt16} OR f.src_port = {p3:UInt16}) OR \
             (f.dst_port = {p4:UInt16} OR f.dst_port = {p5:UInt16})))"
        );
        assert_eq!(values[2..], ["53", "443", "53", "443"]);
    }

    #[test]
    fn names_of_interfaces_and_categories_are_looked_up() {
        let (text, _) = sql("interface = wan1 and category != video", Scope::Usage);
        assert!(text.contains("(u.exporter, u.if_index) IN (SELECT exporter, if_index FROM interfaces FINAL WHERE name = {p0:String})"));
        assert!(text.contains("NOT (u.app IN (SELECT app FROM application_catalog FINAL WHERE category = {p1:String}))"));
        let filter = Filter::parse("src = 10.0.0.1 and app = dns").expect("read");
        assert!(!filter.fits(Scope::Usage) && filter.fits(Scope::Flows));
        assert_eq!(filter.missing(Scope::Usage), ["src"]);
    }

    #[test]
    fn conditions_on_interfaces_and_directions_name_sides() {
        for (text, names) in [
            ("interface = wan1 and direction = egress", true),
            ("not direction = ingress", true),
            ("app = dns and if = 7", true),
            ("role = wan or interface ~ 'wan.*'", true),
            ("role = wan or app = dns", false),
            ("interface != mgmt0", false),
            ("app = dns", false),
            ("site = berlin and in_if = 7", false),
        ] {
            let filter = Filter::parse(text).expect("read");
            assert_eq!(filter.names_sides(), names, "{text}");
        }
    }

    #[test]
    fn faults_name_their_column() {
        for (text, column, part) in [
            ("ap = dns", 1, "did you mean `app`"),
            ("app dns", 5, "expected one of =, !="),
            ("app = dns and", 14, "expected a field"),
            ("dscp = 64", 8, "`64` is not a number from 0 to 63"),
            ("app = dns and src in 10.0.0.0/33", 22, "is not an address"),
            ("(app = dns", 1, "not closed"),
            ("app = 'dns", 7, "not closed"),
            ("app < dns", 5, "no order"),
            ("dscp ~ 4", 6, "is for texts"),
            ("app = dns app = x", 11, "expected `and`"),
            ("port in (53 54)", 13, "expected `,`"),
            ("", 1, "expected a field"),
            ("app ~ *a", 7, "no regular expression"),
            ("app = x and app !~  'ab(c'", 24, "unclosed group"),
        ] {
            let (at, message) = fault(text);
            assert!(
                at == column && message.contains(part),
                "{text}: {at} {message}"
            );
        }
        let deep = "(".repeat(40) + "app = x";
        assert!(fault(&deep).1.contains("nested"));
        assert!(fault(&"x".repeat(5_000)).1.contains("longer"));
        let shown = Filter::parse("ap = dns").expect_err("a fault").to_string();
        assert!(shown.ends_with("  ap = dns\n  ^"), "{shown}");
    }

    proptest! {
        #[test]
        fn no_text_breaks_it_or_reaches_the_sql(text in "[a-z=!<>~()',\"$;{}0-9./ -]{0,40}", value in "[^'\\p{C}]{1,20}") {
            Filter::parse(&text).ok();
            let (sql, values) = sql(&format!("app = '{value}'"), Scope::Usage);
            prop_assert_eq!(sql, "(u.app = {p0:String})");
            prop_assert_eq!(values, vec![value]);
        }
    }
}
