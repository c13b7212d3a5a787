//! Proof of the expressions of rules: each part is looked at by itself, for what stands behind an `&&` or `||` may not be
//! reached by any trial of the whole.

use cel::common::ast::{
    CallExpr, EntryExpr, Expr, LiteralValue, SelectExpr, SourceInfo, operators,
};
use cel::objects::ValueType;
use cel::{Context, ExecutionError, IdedExpr, Program, Value};

/// A fault: the byte of the expression at which it stands, and what is wrong.
pub type Fault = (usize, String);

/// What is known of an interface, and of its exporter.
pub const VARIABLES: [(&str, &[&str]); 2] = [
    ("exporter", &["address"]),
    ("interface", &["index", "name", "alias", "speed"]),
];

/// Proves a program; `trials` have all variables, with values that differ.
///
/// # Errors
/// The first part that names what is not there, or does with a value what cannot be done with it.
pub fn prove(program: &Program, trials: &[Context<'_, '_>]) -> Result<(), Fault> {
    let text = &program.source_info().source;
    let proof = Proof {
        text,
        info: program.source_info(),
        trials,
    };
    let root = program.expression();
    proof.visit(root, 0)?;
    for trial in trials {
        match Value::resolve(root, trial) {
            Ok(Value::Bool(_)) => {}
            Ok(other) => return Err((0, not_a_bool(&other))),
            Err(error) => return Err((proof.place(root), said(&error))),
        }
    }
    Ok(())
}

struct Proof<'a> {
    text: &'a str,
    info: &'a SourceInfo,
    trials: &'a [Context<'a, 'a>],
}

impl Proof<'_> {
    fn visit(&self, part: &IdedExpr, depth: usize) -> Result<(), Fault> {
        let at = || self.place(part);
        if depth > DEPTH_MAX {
            let message =
                format!("expression: nested deeper than {DEPTH_MAX}: write several rules");
            return Err((at(), message));
        }
        let deeper = |part: &IdedExpr| self.visit(part, depth + 1);
        match &part.expr {
            Expr::Ident(name) if fields(name).is_none() => {
                Err((at(), format!("expression: {name:?} is unknown: {KNOWN}")))
            }
            Expr::Select(select) => match root(&select.operand) {
                Some(_) => self.field(select),
                None => {
                    deeper(&select.operand).and_then(|()| self.operands(part, &[&select.operand]))
                }
            },
            Expr::Call(call) => {
                let operands: Vec<&IdedExpr> = call
                    .target
                    .as_deref()
                    .into_iter()
                    .chain(&call.args)
                    .collect();
                operands.iter().try_for_each(|o| deeper(o))?;
                self.key(call)?;
                self.call(part, call, &operands)
            }
            Expr::List(list) => list.elements.iter().try_for_each(deeper),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(e) => deeper(&e.key).and_then(|()| deeper(&e.value)),
                EntryExpr::StructField(f) => deeper(&f.value),
            }),
            // they would make the time that a rule takes a matter of its text
            Expr::Comprehension(_) => {
                let message = "expression: all, exists, exists_one, filter and map are not known here: use `in`, or write several rules";
                Err((at(), message.into()))
            }
            Expr::Struct(s) => Err((
                at(),
                format!("expression: there is no type {:?}", s.type_name),
            )),
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Ok(()),
        }
    }

    /// `interface.name`.
    fn field(&self, select: &SelectExpr) -> Result<(), Fault> {
        let variable = self.place(&select.operand);
        let behind = self.text.get(variable..).unwrap_or_default();
        // the name of the variable may have letters of the field's
        let skip = root(&select.operand).map_or(0, str::len);
        let found = behind.get(skip..).and_then(|b| b.find(&select.field));
        let at = found.map_or(variable, |n| variable + skip + n);
        known_field(&select.operand, &select.field).map_err(|message| (at, message))
    }

    /// `interface["name"]`.
    fn key(&self, call: &CallExpr) -> Result<(), Fault> {
        let [variable, key] = &call.args[..] else {
            return Ok(());
        };
        match &key.expr {
            Expr::Literal(LiteralValue::String(name)) if call.func_name == operators::INDEX => {
                known_field(variable, name.inner()).map_err(|message| (self.place(key), message))
            }
            _ => Ok(()),
        }
    }

    fn call(&self, part: &IdedExpr, call: &CallExpr, operands: &[&IdedExpr]) -> Result<(), Fault> {
        let conditions = match call.func_name.as_str() {
            operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT => operands,
            operators::CONDITIONAL => &operands[..operands.len().min(1)],
            operators::EQUALS | operators::NOT_EQUALS | operators::IN => {
                self.alike(part, call)?;
                return self.operands(part, operands);
            }
            _ => return self.operands(part, operands),
        };
        for (trial, condition) in self
            .trials
            .iter()
            .flat_map(|t| conditions.iter().map(move |c| (t, c)))
        {
            match Value::resolve(condition, trial) {
                Ok(Value::Bool(_)) | Err(_) => {}
                Ok(other) => return Err((self.place(condition), not_a_bool(&other))),
            }
        }
        Ok(())
    }

    /// What is compared must be of one kind: else the answer is always the same.
    fn alike(&self, part: &IdedExpr, call: &CallExpr) -> Result<(), Fault> {
        let [left, right] = &call.args[..] else {
            return Ok(());
        };
        for trial in self.trials {
            let both = (Value::resolve(left, trial), Value::resolve(right, trial));
            let (Ok(left), Ok(right)) = both else {
                continue;
            };
            let (kind, others) = match &right {
                Value::List(list) if call.func_name == operators::IN => {
                    (noun(&left), list.iter().map(noun).collect())
                }
                _ if call.func_name == operators::IN => continue,
                one => (noun(&left), vec![noun(one)]),
            };
            if let Some(first) = others.first()
                && !others.iter().any(|o| *o == kind || *o == NOTHING)
                && kind != NOTHING
            {
                let message = format!("expression: {kind} is compared with {first}{CURE}");
                return Err((self.place(part), message));
            }
        }
        Ok(())
    }

    /// Tries a part whose operands have values: an error is its own then.
    fn operands(&self, part: &IdedExpr, operands: &[&IdedExpr]) -> Result<(), Fault> {
        for trial in self.trials {
            if operands.iter().any(|o| Value::resolve(o, trial).is_err()) {
                continue;
            }
            match Value::resolve(part, trial) {
                Err(error) if is_of_the_text(&error) => {
                    return Err((self.place(part), said(&error)));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Where a part stands: an operator its sign, a function its name.
    fn place(&self, part: &IdedExpr) -> usize {
        let at = self
            .info
            .offset_for(part.id)
            .map_or(0, |(start, _)| start as usize);
        let at = at.min(self.text.len());
        match &part.expr {
            Expr::Call(call) if self.text[at..].starts_with('(') => {
                self.text[..at].rfind(&call.func_name).unwrap_or(at)
            }
            Expr::Select(select) => self.place(&select.operand),
            _ => at,
        }
    }
}

/// The variable that a part is.
fn root(part: &IdedExpr) -> Option<&str> {
    match &part.expr {
        Expr::Ident(name) if fields(name).is_some() => Some(name),
        _ => None,
    }
}

fn fields(variable: &str) -> Option<&'static [&'static str]> {
    let found = VARIABLES.iter().find(|(name, _)| *name == variable);
    found.map(|(_, fields)| *fields)
}

fn known_field(variable: &IdedExpr, field: &str) -> Result<(), String> {
    match root(variable) {
        Some(name) if !fields(name).unwrap_or_default().contains(&field) => {
            Err(format!("expression: {name}.{field} is unknown: {KNOWN}"))
        }
        _ => Ok(()),
    }
}

/// Whether the text is wrong, and not only the value that it was tried with.
fn is_of_the_text(error: &ExecutionError) -> bool {
    match error {
        ExecutionError::FunctionError { function, .. } => function == "matches",
        ExecutionError::NoSuchKey(_)
        | ExecutionError::DivisionByZero(_)
        | ExecutionError::RemainderByZero(_)
        | ExecutionError::Overflow(..)
        | ExecutionError::IndexOutOfBounds(_) => false,
        _ => true,
    }
}

fn said(error: &ExecutionError) -> String {
    let text = error.to_string();
    let cure = match error {
        ExecutionError::NoSuchOverload(_)
        | ExecutionError::ValuesNotComparable(..)
        | ExecutionError::UnsupportedBinaryOperator(..) => CURE,
        _ => "",
    };
    format!("expression: {text}{cure}")
}

fn not_a_bool(value: &Value) -> String {
    format!(
        "expression: {} is not true or false: compare it with something",
        noun(value)
    )
}

fn noun(value: &Value) -> &'static str {
    match value.type_of() {
        ValueType::Int | ValueType::UInt | ValueType::Float => "a number",
        ValueType::String => "a text",
        ValueType::Bool => "true or false",
        ValueType::List => "a list",
        ValueType::Map => "all of a variable",
        ValueType::Null => NOTHING,
        _ => "a value",
    }
}

const NOTHING: &str = "null";
const KNOWN: &str = "there are exporter.address and interface.index, .name, .alias and .speed";
const CURE: &str = "; write whole numbers as they are, texts in quotes";
/// Most parts inside of each other.
const DEPTH_MAX: usize = 100;
