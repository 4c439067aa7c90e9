//! Everything in which the two databases differ in text.

/// Which database a store is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Embedded.
    Sqlite,
    /// Shared.
    Postgres,
}

/// Column types of the schema, written as PostgreSQL names them, and what SQLite
/// stores in their place.
const TYPES: &[(&str, &str)] = &[
    ("UUID", "TEXT"),
    ("TIMESTAMPTZ", "INTEGER"),
    ("JSONB", "TEXT"),
    ("BYTEA", "BLOB"),
    ("BOOLEAN", "INTEGER"),
    ("BIGINT", "INTEGER"),
];

impl Dialect {
    /// A migration's text for this database: types are translated, and lines
    /// between `-- sqlite:` or `-- postgres:` and `-- end` belong to one only.
    pub fn schema(self, text: &str) -> String {
        let mut out = String::new();
        let mut wanted = true;
        for line in text.lines() {
            match line.trim() {
                "-- sqlite:" => wanted = self == Self::Sqlite,
                "-- postgres:" => wanted = self == Self::Postgres,
                "-- end" => wanted = true,
                _ if !wanted => {}
                _ => {
                    out.push_str(&self.types(line));
                    out.push('\n');
                }
            }
        }
        out
    }

    fn types(self, line: &str) -> String {
        if self == Self::Postgres {
            return line.to_owned();
        }
        let mut out = String::with_capacity(line.len());
        let mut word = String::new();
        for c in line.chars().chain([' ']) {
            if c.is_ascii_alphanumeric() || c == '_' {
                word.push(c);
            } else {
                let known = TYPES.iter().find(|(postgres, _)| *postgres == word);
                out.push_str(known.map_or(word.as_str(), |(_, sqlite)| sqlite));
                word.clear();
                out.push(c);
            }
        }
        out.truncate(out.len() - 1);
        out
    }

    /// How a SELECT inside a claim passes over rows that others hold. SQLite has
    /// one writer at a time and needs nothing.
    pub fn skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => "FOR UPDATE SKIP LOCKED",
        }
    }

    /// How a SELECT takes the row for the length of the transaction. Rows that refer to it
    /// may be made meanwhile.
    pub fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => "FOR NO KEY UPDATE",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_sections_are_translated() {
        let text = "id UUID, n BIGINT\n-- sqlite:\nonly here\n-- end\n-- postgres:\nnot here\n-- end\nBIGINTS";
        assert_eq!(Dialect::Sqlite.schema(text), "id TEXT, n INTEGER\nonly here\nBIGINTS\n");
        assert_eq!(Dialect::Postgres.schema(text), "id UUID, n BIGINT\nnot here\nBIGINTS\n");
    }
}
