//! Sets of numbers in few words.

use std::fmt;

use serde::{Serialize, Serializer};

/// Numbers that are equally far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Run {
    /// The first, in units of the last decimal.
    pub first: i64,
    /// How far apart; at least 1.
    pub step: i64,
    /// How many; at least 1.
    pub count: u64,
}

impl Run {
    /// The last one.
    pub fn last(&self) -> i64 {
        self.first + self.step * (self.count.cast_signed() - 1)
    }
}

/// Rising numbers, whole or with a fixed count of decimals. Its text is a frame range
/// as Fileseq and Nuke read it: `1001-1010,1015,1020-1030x2`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Numbers {
    runs: Vec<Run>,
    decimals: usize,
}

impl Numbers {
    /// Of rising numbers without doubles, in units of the last of `decimals`.
    pub fn of(rising: &[i64], decimals: usize) -> Self {
        let mut runs = Vec::new();
        let mut rest = rising;
        while let [first, tail @ ..] = rest {
            let step = tail.first().map_or(1, |next| next - first);
            let more = rest.windows(2).take_while(|pair| pair[1] - pair[0] == step).count();
            // Two that are apart are told one by one: the second may begin a run.
            let (step, count) = if step == 1 || more > 1 { (step, more + 1) } else { (1, 1) };
            runs.push(Run { first: *first, step, count: count as u64 });
            rest = &rest[count..];
        }
        Self { runs, decimals }
    }

    /// What is due, every `step` from the first on, and not among `rising`.
    pub fn gaps(rising: &[i64], step: i64) -> Self {
        let step = step.max(1);
        let mut runs = Vec::new();
        let Some(&begin) = rising.first() else { return Self::default() };
        for pair in rising.windows(2) {
            let first = (pair[0] - (pair[0] - begin) % step).saturating_add(step);
            if first < pair[1] {
                let count = ((pair[1] - 1 - first) / step + 1).cast_unsigned();
                runs.push(Run { first, step: if count == 1 { 1 } else { step }, count });
            }
        }
        Self { runs, decimals: 0 }
    }

    /// In stretches, rising.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// How many decimals each has.
    pub fn decimals(&self) -> usize {
        self.decimals
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.runs.iter().map(|run| run.count).fold(0, u64::saturating_add)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Each, rising, in units of the last decimal.
    pub fn iter(&self) -> impl Iterator<Item = i64> {
        self.runs
            .iter()
            .flat_map(|run| (0..run.count).map(|at| run.first + run.step * at.cast_signed()))
    }

    fn put(&self, f: &mut fmt::Formatter<'_>, value: i64) -> fmt::Result {
        if self.decimals == 0 {
            return write!(f, "{value}");
        }
        let unit = 10_u64.pow(self.decimals as u32);
        let (sign, size) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
        write!(f, "{sign}{}.{:0width$}", size / unit, size % unit, width = self.decimals)
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, run) in self.runs.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "," })?;
            self.put(f, run.first)?;
            if run.count > 1 {
                f.write_str("-")?;
                self.put(f, run.last())?;
            }
            // Whole numbers one apart need no word; sub-frames are never one apart.
            if run.count > 1 && (run.step > 1 || self.decimals > 0) {
                f.write_str("x")?;
                self.put(f, run.step)?;
            }
        }
        Ok(())
    }
}

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
