//! Client SQL: tokens never loop or overlap, statements never panic, what the guard lets read is a read, and a database
//! that it lets be made has an engine that holds tables.
#![no_main]

use flowhouse::store::guard::{Access, Guard};
use flowhouse::store::statement::{Class, Statement};
use flowhouse::store::token::Tokens;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|sql: &[u8]| {
    let mut last = 0;
    for token in Tokens::new(sql) {
        assert!(token.start >= last && token.end > token.start && token.end <= sql.len());
        let _ = (token.name(sql), token.text(sql));
        last = token.end;
    }
    let guard = Guard::new();
    let _ = guard.values_may_be_expressions(sql);
    if let Ok(statement) = Statement::read(sql) {
        assert!(statement.text.end <= sql.len());
        assert!(
            statement
                .settings
                .as_ref()
                .is_none_or(|range| range.end <= sql.len())
        );
        if guard.check(sql, &statement, Access::ReadOnly).is_ok() {
            assert!(matches!(statement.class, Class::Select | Class::Report));
        }
    }
    let made = [&b"CREATE DATABASE d ENGINE = "[..], sql].concat();
    if let Ok(statement) = Statement::read(&made) {
        let passes = guard.check(&made, &statement, Access::Full).is_ok();
        let engine = Tokens::new(sql).find(|token| !token.is_symbol(b'='));
        let engine = engine.map(|token| token.name(sql).unwrap_or_default());
        assert!(!passes || engine.is_none_or(|name| ENGINES.contains(&name.as_str())));
    }
});

const ENGINES: [&str; 4] = ["atomic", "memory", "ordinary", "dictionary"];
