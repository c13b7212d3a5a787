//! Rules that give interfaces their role, site and tenant: CEL expressions, evaluated when an interface is seen or changes.

use super::Error;
use super::error::Faults;
use super::expression;
use super::settings::Classify;
use crate::model::Addr;
use cel::{Context, Program, Value};
use std::collections::HashMap;
use toml::Spanned;

/// What expressions can ask about.
#[derive(Clone, Debug, Default)]
pub struct Subject<'a> {
    /// Address of the exporter.
    pub exporter: Addr,
    /// ifIndex.
    pub index: u32,
    /// Name; empty where it is not known.
    pub name: &'a str,
    /// Alias or description; empty where it is not known.
    pub alias: &'a str,
    /// Speed, bit/s; 0 where it is not known.
    pub speed: u64,
}

/// What rules give.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// What it is for.
    pub role: String,
    /// Site.
    pub site: String,
    /// Tenant.
    pub tenant: String,
}

/// The rules, compiled.
#[derive(Debug, Default)]
pub struct Classifier(Vec<(Program, Attributes)>);

impl Classifier {
    /// Compiles the rules and tries each on an interface, so that wrong names and types show here.
    pub fn new(rules: &[Spanned<Classify>]) -> Result<Classifier, Error> {
        let (key, count, max) = ("classify", rules.len(), RULES_MAX);
        if count > max {
            return Err(Error::TooMany { key, count, max });
        }
        let mut faults = Faults::default();
        let mut all = Classifier::default();
        for rule in rules {
            let (at, rule) = (rule.span().start, rule.get_ref());
            let given = Attributes {
                role: rule.role.clone(),
                site: rule.site.clone(),
                tenant: rule.tenant.clone(),
            };
            if given == Attributes::default() {
                faults.add(Error::At {
                    at,
                    message: "the rule gives nothing: set `role`, `site` or `tenant`".into(),
                });
            }
            let at = rule.when.span().start;
            let program = compile(rule.when.get_ref()).map_err(|(inside, message)| Error::InText {
                at,
                inside,
                message,
            });
            if let Some(program) = faults.take(program) {
                all.0.push((program, given));
            }
        }
        faults.end(all)
    }

    /// What the rules say of an interface: for each attribute the first rule that gives it. A rule that cannot be
    /// evaluated for an interface is not true for it.
    pub fn of(&self, subject: &Subject<'_>) -> Attributes {
        let mut found = Attributes::default();
        if self.0.is_empty() {
            return found;
        }
        let context = context(subject);
        for (program, given) in &self.0 {
            let slots = [
                (&mut found.role, &given.role),
                (&mut found.site, &given.site),
                (&mut found.tenant, &given.tenant),
            ];
            let open = slots
                .iter()
                .any(|(slot, g)| slot.is_empty() && !g.is_empty());
            if open && matches!(program.execute(&context), Ok(Value::Bool(true))) {
                for (slot, given) in slots {
                    if slot.is_empty() {
                        slot.clone_from(given);
                    }
                }
            }
        }
        found
    }
}

/// The program of an expression, or the byte at which it is wrong and why.
fn compile(text: &str) -> Result<Program, expression::Fault> {
    if text.len() > TEXT_MAX {
        return Err((
            0,
            format!("the expression is longer than {TEXT_MAX} bytes: write several rules"),
        ));
    }
    let program = Program::compile(text).map_err(|errors| {
        let first = errors.errors.first();
        let message = first.map_or_else(|| errors.to_string(), |e| e.msg.clone());
        let (line, column) = first.map_or((1, 1), |e| e.pos);
        let before: usize = text
            .split_inclusive('\n')
            .take(line.max(1) as usize - 1)
            .map(str::len)
            .sum();
        let column = before + column.max(1) as usize - 1;
        (
            column.min(text.len()),
            format!("expression: {}", message.trim()),
        )
    })?;
    let trials = [context(&Subject::default()), context(&sample())];
    expression::prove(&program, &trials)?;
    drop(trials);
    Ok(program)
}

fn sample() -> Subject<'static> {
    Subject {
        exporter: Addr::from_v4([192, 0, 2, 1]),
        index: 1,
        name: "Gi0/0/1",
        alias: "uplink",
        speed: 1_000_000_000,
    }
}

fn context(s: &Subject<'_>) -> Context<'static, 'static> {
    let mut context = Context::default();
    let text = |t: &str| Value::from(t.to_owned());
    let number = |n: u64| Value::from(i64::try_from(n).unwrap_or(i64::MAX));
    let exporter = HashMap::from([("address".to_owned(), text(&s.exporter.to_string()))]);
    let interface = HashMap::from([
        ("index".to_owned(), number(s.index.into())),
        ("name".to_owned(), text(s.name)),
        ("alias".to_owned(), text(s.alias)),
        ("speed".to_owned(), number(s.speed)),
    ]);
    context.add_variable_from_value("exporter", exporter);
    context.add_variable_from_value("interface", interface);
    context
}

/// Most rules.
const RULES_MAX: usize = 1_000;
/// Longest expression, bytes.
const TEXT_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Text {
        classify: Vec<Spanned<Classify>>,
    }

    fn classifier(text: &str) -> Result<Classifier, Error> {
        Classifier::new(&toml::from_str::<Text>(text).expect("readable").classify)
    }

    #[test]
    fn the_first_rule_that_gives_an_attribute_decides_it() {
        let text = r#"
            [[classify]]
            when = 'interface.alias.matches("(?i)(uplink|transit)")'
            role = "uplink"
            [[classify]]
            when = 'exporter.address.startsWith("192.0.2.") && interface.speed >= 1000000000'
            role = "lan"
            site = "berlin"
            [[classify]]
            when = 'interface.index in [7, 9]'
            tenant = "acme""#;
        let c = classifier(text).expect("valid");
        let all = c.of(&sample());
        assert_eq!(
            (&*all.role, &*all.site, &*all.tenant),
            ("uplink", "berlin", "")
        );
        let other = c.of(&Subject {
            index: 9,
            exporter: Addr::from_v4([10, 0, 0, 1]),
            ..Subject::default()
        });
        assert_eq!((&*other.role, &*other.tenant), ("", "acme"));
    }

    #[test]
    fn faults_stand_where_they_are() {
        let fault = |when: &str| {
            let text = format!("[[classify]]\nwhen = '{when}'\nrole = \"x\"\n");
            match classifier(&text).expect_err(when) {
                Error::InText {
                    at,
                    inside,
                    message,
                } => {
                    assert!(text[at..].starts_with('\''), "{text}");
                    (when.get(inside..).unwrap_or_default().to_owned(), message)
                }
                other => panic!("{other:?}"),
            }
        };
        for (when, place, part) in [
            ("interface.name = \"x\"", "=", "expression"),
            ("true && iface.name == \"x\"", "iface", "interface.index"),
            ("interface.nam == \"x\"", "nam ", "interface.nam is unknown"),
            ("interface.name", "interface", "a text is not true or false"),
            ("interface.speed > \"x\"", ">", "in quotes"),
            ("1/0 == 1", "", "zero"),
            // what no trial of the whole comes to
            (
                "interface.name == \"a\" && exporter.adress == \"1\"",
                "adress",
                "exporter.adress is unknown: there are exporter.address",
            ),
            (
                "interface.index > 100 ? interface.nmae == \"x\" : false",
                "nmae",
                "interface.nmae",
            ),
            (
                "interface.index == 3 || interface.speed == \"fast\"",
                "== \"fast",
                "a number is compared with a text",
            ),
            (
                "interface.speed > 9999 || has(interface.nmae)",
                "nmae",
                "unknown",
            ),
            (
                "interface.name != \"\" || interface[\"alais\"] == \"x\"",
                "\"alais",
                "unknown",
            ),
            (
                "true || interface.index in [\"7\", \"9\"]",
                "in [",
                "a number is compared with a text",
            ),
            ("true || interface.alias.foo(\"x\")", "foo", "foo"),
            (
                "true || interface.alias.matches(\"(bad\")",
                "matches",
                "regex",
            ),
            (
                "true || interface.speed",
                "interface.speed",
                "a number is not true or false",
            ),
            ("true || !interface.name", "interface.name", "a text is not"),
            (
                "true || interface.speed + interface.name == 3",
                "+",
                "in quotes",
            ),
            (
                "true || interface.index.startsWith(\"1\")",
                "startsWith",
                "startsWith",
            ),
            (
                "[1, 2].exists(x, x == interface.index)",
                "",
                "several rules",
            ),
        ] {
            let (rest, message) = fault(when);
            assert!(
                rest.starts_with(place) && message.contains(part),
                "{when}: {rest:?}: {message}"
            );
        }
        for long in ["(".repeat(3_000), "1 + ".repeat(900) + "1 == 2"] {
            assert!(!fault(&long).1.is_empty());
        }
        let nothing = classifier("[[classify]]\nwhen = 'true'\n").expect_err("gives nothing");
        assert!(nothing.to_string().contains("gives nothing"));
    }

    #[test]
    fn what_depends_on_values_is_no_fault() {
        for when in [
            "interface.speed > 0 && 8000000000 / interface.speed > 2",
            "interface.alias.matches(\"^[0-9]+$\") && int(interface.alias) > 7",
            "interface.name in {\"a\": 1} && {\"a\": 1}[interface.name] == 1",
            "has(interface.alias) && \"name\" in interface && interface[\"name\"] != \"\"",
            "interface.speed > 1.5 || -interface.index < 0 || interface.name.size() > 3",
            "interface.name == \"a\" ? interface.index == 1 : exporter.address.endsWith(\".1\")",
        ] {
            let text = format!("[[classify]]\nwhen = '{when}'\nrole = \"x\"\n");
            assert!(classifier(&text).is_ok(), "{when}: {:?}", classifier(&text));
        }
    }
}
