//! One text of the schema, two forms: for one node as it stands in `schemas/`, and for a cluster.
//!
//! In a cluster every table `t` becomes `t_local`, replicated in its shard, and `t`, Distributed over all shards, to read
//! from. Materialized views stand between local tables; plain views and dictionaries read `t`, so that queries and
//! dashboards name the same tables in both forms.

use super::{MIGRATIONS, statements};
use crate::sink::Error;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The form in which a store has the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// One node.
    Single,
    /// `ON CLUSTER` of this name.
    Cluster(String),
}

impl Form {
    /// The form for a cluster, if one is named.
    pub fn of(cluster: Option<&str>) -> Form {
        cluster.map_or(Form::Single, |c| Form::Cluster(c.to_owned()))
    }

    /// What makes the database.
    pub(super) fn database(&self, database: &str) -> String {
        match self {
            Form::Single => format!("CREATE DATABASE IF NOT EXISTS {database}"),
            Form::Cluster(cluster) => {
                format!("CREATE DATABASE IF NOT EXISTS {database} ON CLUSTER '{cluster}'")
            }
        }
    }

    /// The table that rows are written to.
    pub(super) fn target(&self, table: &str) -> String {
        match self {
            Form::Single => table.to_owned(),
            Form::Cluster(_) => format!("{table}_local"),
        }
    }

    /// The statements that do in this form what `statement` does on one node.
    ///
    /// # Errors
    /// When it is of a kind that has no cluster form.
    pub fn render<'a>(
        &self,
        statement: &'a str,
        database: &str,
    ) -> Result<Vec<Cow<'a, str>>, Error> {
        let Form::Cluster(cluster) = self else {
            return Ok(vec![statement.into()]);
        };
        let cluster = Cluster {
            name: cluster,
            database,
            tables: tables(),
        };
        let all = cluster.render(statement);
        let all = all.ok_or_else(|| Error::NoClusterForm {
            statement: statement.chars().take(60).collect(),
        })?;
        Ok(all.into_iter().map(Cow::Owned).collect())
    }
}

/// Names of all tables of the schema, those of the bookkeeping included.
fn tables() -> BTreeSet<&'static str> {
    let migrations = MIGRATIONS.iter().flat_map(|m| statements(m.sql));
    let all = migrations.chain(statements(super::BOOKKEEPING));
    let names = all.filter_map(|s| s.strip_prefix(TABLE)?.split_whitespace().next());
    names.collect()
}

struct Cluster<'a> {
    name: &'a str,
    database: &'a str,
    tables: BTreeSet<&'static str>,
}

impl Cluster<'_> {
    fn render(&self, statement: &str) -> Option<Vec<String>> {
        let (database, cluster) = (self.database, self.name);
        if let Some((name, rest)) = object(statement, TABLE) {
            return self.table(name, rest);
        }
        if let Some((name, rest)) = object(statement, MATERIALIZED_VIEW) {
            let (target, query) = object(rest.trim_start(), "TO ")?;
            let query = self.local(query);
            return Some(vec![format!(
                "{MATERIALIZED_VIEW}{database}.{name} ON CLUSTER '{cluster}' TO {database}.{target}_local{query}"
            )]);
        }
        for head in [VIEW, OTHER_VIEW] {
            if let Some((name, rest)) = object(statement, head) {
                // the right side is read where the query began, for all shards
                let query = self
                    .distributed(rest)
                    .replace("LEFT JOIN", "GLOBAL LEFT JOIN");
                return Some(vec![format!(
                    "{head}{database}.{name} ON CLUSTER '{cluster}'{query}"
                )]);
            }
        }
        if let Some((name, rest)) = object(statement, DICTIONARY) {
            return Some(vec![format!(
                "{DICTIONARY}{database}.{name} ON CLUSTER '{cluster}'{rest}"
            )]);
        }
        if let Some((name, rest)) = object(statement, "ALTER TABLE ") {
            return self.alter(name, rest);
        }
        for head in [RENAME_BACK, RENAME] {
            if let Some((name, rest)) = object(statement, head) {
                let to = rest.strip_prefix(" TO ")?;
                return Some(vec![format!(
                    "{head}{database}.{name} TO {database}.{to} ON CLUSTER '{cluster}'"
                )]);
            }
        }
        None
    }

    /// A replicated local table, and a distributed one of the same columns.
    fn table(&self, name: &str, rest: &str) -> Option<Vec<String>> {
        let (database, cluster) = (self.database, self.name);
        let (columns, engine) = rest.split_once("\nENGINE = ")?;
        let end = engine.find(|c: char| !c.is_ascii_alphanumeric())?;
        let (engine, tail) = engine.split_at(end);
        if !engine.ends_with("MergeTree") {
            return None;
        }
        let path = format!("'/clickhouse/tables/{{shard}}/{{database}}/{name}', '{{replica}}'");
        let (arguments, tail) = match tail.strip_prefix('(') {
            None => (path, tail),
            Some(tail) => {
                let (given, tail) = tail.split_once(')')?;
                (format!("{path}, {given}"), tail)
            }
        };
        let local = format!(
            "{TABLE}{database}.{name}_local ON CLUSTER '{cluster}'{columns}\nENGINE = \
             Replicated{engine}({arguments}){tail}"
        );
        let all = format!(
            "{TABLE}{database}.{name} ON CLUSTER '{cluster}' AS {database}.{name}_local\nENGINE = \
             Distributed('{cluster}', '{database}', '{name}_local', rand())"
        );
        Some(vec![local, all])
    }

    /// The local table, and the columns of the distributed one; or a view.
    fn alter(&self, name: &str, rest: &str) -> Option<Vec<String>> {
        let (database, cluster) = (self.database, self.name);
        let alter = |name: &str, rest: &str| {
            format!("ALTER TABLE {database}.{name} ON CLUSTER '{cluster}'{rest}")
        };
        if !self.tables.contains(name) {
            return Some(vec![alter(name, &self.local(rest))]);
        }
        let mut all = vec![alter(&format!("{name}_local"), rest)];
        let columns = commands(rest);
        let columns = columns.iter().filter(|c| {
            let words: Vec<&str> = c.split_whitespace().take(2).collect();
            matches!(
                words[..],
                ["ADD" | "DROP" | "MODIFY" | "RENAME" | "COMMENT", "COLUMN"]
            )
        });
        let columns: Vec<&str> = columns.map(|c| c.trim()).collect();
        if !columns.is_empty() {
            all.push(alter(name, &format!("\n    {}", columns.join(",\n    "))));
        }
        Some(all)
    }

    /// A query that reads the tables of its own shard.
    fn local(&self, query: &str) -> String {
        self.read(query, "_local")
    }

    /// A query that reads the tables of all shards.
    fn distributed(&self, query: &str) -> String {
        self.read(query, "")
    }

    /// Names after FROM and JOIN with their database, tables with a suffix.
    fn read(&self, query: &str, suffix: &str) -> String {
        let mut out = String::with_capacity(query.len() + 64);
        let (mut rest, mut names) = (query, false);
        while !rest.is_empty() {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let first = rest.starts_with(is_word);
            let end = rest.find(|c| is_word(c) != first).unwrap_or(rest.len());
            let (part, after) = rest.split_at(end);
            if first && names {
                let suffix = if self.tables.contains(part) {
                    suffix
                } else {
                    ""
                };
                out += &format!("{}.{part}{suffix}", self.database);
            } else {
                out += part;
            }
            names = match first {
                true => matches!(part, "FROM" | "JOIN"),
                false => names && part.trim().is_empty(),
            };
            rest = after;
        }
        out
    }
}

/// The name after `head`, and what follows it.
fn object<'a>(statement: &'a str, head: &str) -> Option<(&'a str, &'a str)> {
    let rest = statement.strip_prefix(head)?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    Some(rest.split_at(end))
}

/// The commands of an ALTER: split at commas outside of brackets and quotes.
fn commands(text: &str) -> Vec<&str> {
    let (mut all, mut from, mut depth, mut quoted) = (Vec::new(), 0, 0i32, false);
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                all.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    all.push(&text[from..]);
    all
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS ";
const VIEW: &str = "CREATE VIEW IF NOT EXISTS ";
const OTHER_VIEW: &str = "CREATE OR REPLACE VIEW ";
const MATERIALIZED_VIEW: &str = "CREATE MATERIALIZED VIEW IF NOT EXISTS ";
const RENAME: &str = "RENAME TABLE ";
const RENAME_BACK: &str = "RENAME TABLE IF EXISTS ";
const DICTIONARY: &str = "CREATE DICTIONARY IF NOT EXISTS ";

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(statement: &str) -> Vec<String> {
        let all = Form::Cluster("main".into()).render(statement, "db");
        let all = all.expect("a cluster form").into_iter();
        all.map(Cow::into_owned).collect()
    }

    #[test]
    fn every_migration_has_a_cluster_form() {
        let all = MIGRATIONS.iter().flat_map(|m| statements(m.sql));
        for s in all.chain(statements(super::super::BOOKKEEPING)) {
            for c in cluster(s) {
                assert!(c.contains(" ON CLUSTER 'main'"), "{c}");
                assert!(!c.contains("\nENGINE = MergeTree"), "{c}");
            }
            assert_eq!(Form::Single.render(s, "db").expect("as it is"), [s]);
        }
    }

    #[test]
    fn tables_views_and_their_changes() {
        let all = cluster(
            "CREATE TABLE IF NOT EXISTS interfaces\n(\n    a UInt8\n)\nENGINE = ReplacingMergeTree(a)\nORDER BY a",
        );
        assert_eq!(
            all,
            [
                "CREATE TABLE IF NOT EXISTS db.interfaces_local ON CLUSTER 'main'\n(\n    a UInt8\n)\nENGINE = \
                 ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/interfaces', '{replica}', a)\n\
                 ORDER BY a",
                "CREATE TABLE IF NOT EXISTS db.interfaces ON CLUSTER 'main' AS db.interfaces_local\nENGINE = \
                 Distributed('main', 'db', 'interfaces_local', rand())",
            ]
        );
        let view = cluster(
            "CREATE MATERIALIZED VIEW IF NOT EXISTS v TO usage_5m AS SELECT a FROM usage_1m AS s",
        );
        assert_eq!(
            view,
            [
                "CREATE MATERIALIZED VIEW IF NOT EXISTS db.v ON CLUSTER 'main' TO db.usage_5m_local AS SELECT a FROM \
                 db.usage_1m_local AS s"
            ]
        );
        let view = cluster(
            "CREATE VIEW IF NOT EXISTS v AS SELECT a FROM w AS u LEFT JOIN (SELECT a FROM interfaces FINAL) AS i ON 1",
        );
        assert_eq!(
            view,
            [
                "CREATE VIEW IF NOT EXISTS db.v ON CLUSTER 'main' AS SELECT a FROM db.w AS u GLOBAL LEFT JOIN (SELECT a \
                 FROM db.interfaces FINAL) AS i ON 1"
            ]
        );
        let view = cluster("CREATE OR REPLACE VIEW v AS SELECT a FROM flows");
        assert_eq!(
            view,
            ["CREATE OR REPLACE VIEW db.v ON CLUSTER 'main' AS SELECT a FROM db.flows"]
        );
        let query = cluster("ALTER TABLE v_mv MODIFY QUERY SELECT a FROM usage_1m");
        assert_eq!(
            query,
            ["ALTER TABLE db.v_mv ON CLUSTER 'main' MODIFY QUERY SELECT a FROM db.usage_1m_local"]
        );
        let renamed = cluster("RENAME TABLE v_mv TO v_mv_aside");
        assert_eq!(
            renamed,
            ["RENAME TABLE db.v_mv TO db.v_mv_aside ON CLUSTER 'main'"]
        );
        let alter = cluster(
            "ALTER TABLE flows\n    ADD COLUMN IF NOT EXISTS b UInt64 CODEC(T64, ZSTD(1)) COMMENT 'a, b',\n    ADD INDEX \
             IF NOT EXISTS i b TYPE minmax",
        );
        assert_eq!(
            alter[1],
            "ALTER TABLE db.flows ON CLUSTER 'main'\n    ADD COLUMN IF NOT EXISTS b UInt64 CODEC(T64, ZSTD(1)) COMMENT \
             'a, b'"
        );
        assert!(alter[0].contains("db.flows_local") && alter[0].contains("ADD INDEX"));
        assert!(
            Form::Cluster("main".into())
                .render("OPTIMIZE TABLE x", "db")
                .is_err()
        );
    }
}
