//! Mass balance: nothing is drawn from a lot that it does not weigh. A flow switches
//! it on, with a tolerance.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::types::{Lot, kg};
use super::{Error, sql};
use crate::base::error::Error as AnyError;
use crate::control::commands::Unit;

/// That masses are to balance, and how nearly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MassBalance {
    /// Hundredths by which more may be drawn than a lot weighs: 0 to 50.
    #[serde(default)]
    pub tolerance_percent: f64,
}

/// A parent and what is drawn from it.
pub(super) struct Source<'a> {
    pub code: &'a str,
    pub id: Uuid,
    pub weight_mg: Option<i64>,
    pub drawn: Option<i64>,
}

impl MassBalance {
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn most(&self, mg: i64) -> i64 {
        mg + (mg as f64 * self.tolerance_percent / 100.0).floor() as i64
    }
}

/// Shares `total` among sources in proportion to their weights, to the milligram.
fn shares(total: i64, weights: &[i64]) -> Vec<i64> {
    let sum: i128 = weights.iter().map(|w| i128::from(*w)).sum();
    if sum == 0 {
        let mut even = vec![0; weights.len()];
        if let Some(first) = even.first_mut() {
            *first = total;
        }
        return even;
    }
    let (mut left, mut rest) = (i128::from(total), sum);
    weights
        .iter()
        .map(|w| {
            // What is left, by what is left of the weights: the last takes the rest.
            let share = if rest == 0 { 0 } else { left * i128::from(*w) / rest };
            left -= share;
            rest -= i128::from(*w);
            i64::try_from(share).unwrap_or(i64::MAX)
        })
        .collect()
}

/// Checks the child against its parents, whose rows are held. Where it was not said
/// what was drawn from which, the child's weight is shared among them.
pub(super) async fn apply(
    unit: &mut Unit,
    child: &Lot,
    sources: &mut [Source<'_>],
    balance: &MassBalance,
) -> Result<(), AnyError> {
    let off = |detail: String| Error::MassBalance { child: child.lot_code.clone(), detail };
    let Some(weight) = child.weight_mg else {
        return Err(off("it has no weight".into()).into());
    };
    let mut weights = Vec::with_capacity(sources.len());
    for source in sources.iter() {
        weights
            .push(source.weight_mg.ok_or_else(|| off(format!("{} has no weight", source.code)))?);
    }
    let said: i64 = sources.iter().filter_map(|s| s.drawn).sum();
    let open: Vec<i64> =
        sources.iter().zip(&weights).filter(|(s, _)| s.drawn.is_none()).map(|(_, w)| *w).collect();
    if open.is_empty() {
        if weight > balance.most(said) {
            let (weight, said) = (kg(weight), kg(said));
            return Err(
                off(format!("it weighs {weight} kg, and {said} kg were drawn for it")).into()
            );
        }
    } else {
        let mut parts = shares((weight - said).max(0), &open).into_iter();
        for source in sources.iter_mut().filter(|s| s.drawn.is_none()) {
            source.drawn = parts.next();
        }
    }
    for (source, whole) in sources.iter().zip(weights) {
        let before = sql::drawn(unit.tx(), source.id).await?;
        let asked = source.drawn.unwrap_or(0);
        if before + asked > balance.most(whole) {
            let (asked, whole, before) = (kg(asked), kg(whole), kg(before));
            let code = source.code;
            return Err(off(format!(
                "{asked} kg of {code} were to be drawn, which weighs {whole} kg, and {before} kg are drawn already"
            ))
            .into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_add_up_and_are_in_proportion(
            total in 0..1_000_000_000_000_i64,
            weights in proptest::collection::vec(0..1_000_000_000_000_i64, 1..20),
        ) {
            let parts = shares(total, &weights);
            prop_assert_eq!(parts.iter().sum::<i64>(), total);
            prop_assert!(parts.iter().all(|p| *p >= 0));
            let sum: i64 = weights.iter().sum();
            if sum >= total {
                prop_assert!(parts.iter().zip(&weights).all(|(p, w)| p <= &(w + 1)));
            }
        }
    }

    #[test]
    fn a_tolerance_is_a_part_of_the_parent() {
        let balance = MassBalance { tolerance_percent: 2.0 };
        assert_eq!(balance.most(1_000), 1_020);
        assert_eq!(MassBalance { tolerance_percent: 0.0 }.most(1_000), 1_000);
    }
}
