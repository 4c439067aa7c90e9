//! What is told of one file: not every finding, but every kind of them.

use std::collections::BTreeMap;

use super::{Said, Verdict};

/// Findings that are told beside the first of each kind.
const MORE: usize = 100;
/// How much of a name is told.
const NAME_CHARS: usize = 300;

/// Findings as they come; what it holds does not follow how many there are.
#[derive(Debug, Default)]
pub(super) struct Tally {
    said: Vec<Said>,
    /// Where the first of each verdict stands, and how many are not told.
    kinds: BTreeMap<Verdict, (usize, u64)>,
}

impl Tally {
    pub fn add(&mut self, said: Said) {
        let is_room = self.said.len() - self.kinds.len() < MORE;
        match self.kinds.get_mut(&said.verdict) {
            None => {
                self.kinds.insert(said.verdict.clone(), (self.said.len(), 0));
                self.said.push(said);
            }
            Some(_) if is_room => self.said.push(said),
            Some((_, untold)) => *untold += 1,
        }
    }

    /// All that is told, in the order in which it came.
    pub fn end(mut self) -> Vec<Said> {
        for (verdict, (first, untold)) in self.kinds {
            if untold > 0 {
                let why = self.said[first].why.take().unwrap_or_else(|| verdict.to_string());
                self.said[first].why = Some(format!("{why} (and {untold} findings more)"));
            }
        }
        self.said
    }
}

impl Extend<Said> for Tally {
    fn extend<I: IntoIterator<Item = Said>>(&mut self, said: I) {
        said.into_iter().for_each(|said| self.add(said));
    }
}

/// A name from an archive as people can read it: on one line, and not all of it where
/// it is longer than any name should be.
#[cfg_attr(not(feature = "archives"), allow(dead_code))]
pub(super) fn shown(name: &str) -> String {
    match name.char_indices().nth(NAME_CHARS) {
        None => name.escape_debug().to_string(),
        Some((end, _)) => format!("{}…", name[..end].escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn odd(rule: &str, why: &str) -> Said {
        Said { verdict: Verdict::Suspicious { rule: rule.into() }, why: Some(why.into()) }
    }

    #[test]
    fn one_of_each_is_told_and_how_many_are_not() {
        let mut tally = Tally::default();
        tally.extend((0..1000).map(|n| odd("often", &format!("the {n}th"))));
        tally.extend((0..3).map(|_| Said::from(Verdict::Suspicious { rule: "late".into() })));
        let said = tally.end();
        assert_eq!(said.len(), MORE + 2);
        assert_eq!(said[0], odd("often", "the 0th (and 899 findings more)"));
        assert_eq!(said[1], odd("often", "the 1th"));
        let late = odd("late", "suspicious: late (and 2 findings more)");
        assert_eq!(said[MORE + 1].verdict, late.verdict);
        assert!(
            said[MORE + 1].why.as_deref().is_some_and(|why| why.ends_with("(and 2 findings more)"))
        );
    }

    #[test]
    fn names_stay_short_and_on_their_line() {
        assert_eq!(shown("a\nb"), "a\\nb");
        assert_eq!(shown(&"ä".repeat(300)), "ä".repeat(300));
        assert_eq!(shown(&"ä".repeat(301)), format!("{}…", "ä".repeat(300)));
    }
}
